module github.com/hotspot-agent/hotspot-agent/examples/provider

go 1.26.0

require github.com/hotspot-agent/hotspot-agent v0.0.0

require (
	golang.org/x/net v0.59.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/hotspot-agent/hotspot-agent => ../..
