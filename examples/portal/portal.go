// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

type portal struct{ api *api.API }

// home shows a customer its session.
func (p *portal) home(w http.ResponseWriter, r *http.Request) {
	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	isConnected, err := p.api.SessionsMgr().IsConnected(clnt)
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintf(w, "device %d %s, connected: %v\n", clnt.Id(), clnt.MacAddr(), isConnected)
	if session, ok := p.api.SessionsMgr().CurrSession(clnt); ok {
		show(w, session)
	}
}

// buy sells a minute that is good for 30 days, and connects.
func (p *portal) buy(w http.ResponseWriter, r *http.Request) {
	secs := 60             // 1 minute
	mb := 100.0            // 100 MB; a time session does not use it
	sessionType := 0       // 0 = time, 1 = data, 2 = time_or_data
	expireDays := uint(30) // 30 days
	downMbits := 5         // 5 Mbit/s
	upMbits := 3           // 3 Mbit/s

	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	err = p.api.SessionsMgr().CreateSession(
		r.Context(),
		clnt.Id(),
		uint8(sessionType),
		uint(secs),
		mb,
		&expireDays,
		downMbits,
		upMbits,
		false,
	)
	if err != nil {
		fail(w, err)
		return
	}
	p.connect(w, r)
}

func (p *portal) connect(w http.ResponseWriter, r *http.Request) {
	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	msg := "You are now connected to internet."
	if err := p.api.SessionsMgr().Connect(r.Context(), clnt, msg); err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintln(w, msg)
}

func (p *portal) pause(w http.ResponseWriter, r *http.Request) {
	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	msg := "You are now disconnected from internet."
	if err := p.api.SessionsMgr().Disconnect(r.Context(), clnt, msg); err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintln(w, msg)
}

// topUp adds a minute to the running session.
func (p *portal) topUp(w http.ResponseWriter, r *http.Request) {
	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	session, ok := p.api.SessionsMgr().CurrSession(clnt)
	if !ok {
		http.Error(w, "You are not connected.", http.StatusConflict)
		return
	}
	session.SetTimeSecs(session.TimeSecs() + 60)
	if err := session.Save(r.Context()); err != nil {
		fail(w, err)
		return
	}
	show(w, session)
}

// available shows what a customer could consume.
func (p *portal) available(w http.ResponseWriter, r *http.Request) {
	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	session, err := p.api.SessionsMgr().GetSession(r.Context(), clnt)
	if err != nil {
		fail(w, err)
		return
	}
	show(w, session)
}

// notices sends the customer's browser the events of its device.
func (p *portal) notices(w http.ResponseWriter, r *http.Request) {
	clnt, err := p.api.Http().GetClientDevice(r)
	if err != nil {
		fail(w, err)
		return
	}
	notices := clnt.Subscribe(api.EventDisconnected)
	defer clnt.Unsubscribe(api.EventDisconnected, notices)
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case data, open := <-notices:
			if !open {
				return
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", api.EventDisconnected, data)
			_ = flush.Flush()
		}
	}
}

func show(w http.ResponseWriter, s api.ClientSession) {
	fmt.Fprintf(w, "%s session: %d s and %.1f MB left, %d/%d Mbit/s\n",
		s.Provider(), s.RemainingTime(), s.RemainingData(), s.DownMbits(), s.UpMbits())
}

// fail says what the customer can do about it.
func fail(w http.ResponseWriter, err error) {
	var known *api.Error
	if errors.As(err, &known) && known.Code == api.NoSession {
		http.Error(w, "Nothing left: buy a session first.", http.StatusPaymentRequired)
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
