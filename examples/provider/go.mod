module github.com/hotspot-agent/hotspot-agent/examples/provider

go 1.26.0

require github.com/hotspot-agent/hotspot-agent v0.0.0

replace github.com/hotspot-agent/hotspot-agent => ../..
