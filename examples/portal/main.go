// SPDX-License-Identifier: Apache-2.0

// Portal is the smallest portal that sells WiFi: a web server on the router that
// customers are sent to. It takes no money; a real one asks for it in buy.
//
//	go run . -socket /run/hotspot-agent/agent.sock -listen :8080
//
// Its port belongs into the agent's configuration (portal: [":8080"]): a customer that
// has not paid reaches nothing else. Behind a proxy that speaks TLS, -page makes it answer
// phones that ask whether they are captive, at /captive.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func main() {
	socket := flag.String("socket", api.DefaultSocket, "the agent's `socket`")
	listen := flag.String("listen", ":8080", "`address` to serve customers on")
	page := flag.String("page", "", "https `URL` by which customers reach it")
	flag.Parse()
	if err := serve(*socket, *listen, *page); err != nil {
		log.Fatal(err)
	}
}

func serve(socket, listen, page string) error {
	agent, err := api.Dial(socket)
	if err != nil {
		return err
	}
	defer agent.Close()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("portal on http://%s", ln.Addr())
	mux := routes(agent)
	if page != "" {
		captive, err := agent.Client().CaptiveHandler(api.CaptivePages{Portal: page, CanExtend: true})
		if err != nil {
			return err
		}
		mux.Handle("/captive", captive)
	}
	return http.Serve(ln, mux)
}

func routes(agent *api.API) *http.ServeMux {
	p := &portal{api: agent}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("POST /buy", p.buy)
	mux.HandleFunc("POST /connect", p.connect)
	mux.HandleFunc("POST /pause", p.pause)
	mux.HandleFunc("POST /topup", p.topUp)
	mux.HandleFunc("GET /available", p.available)
	mux.HandleFunc("GET /notices", p.notices)
	return mux
}
