module github.com/hotspot-agent/hotspot-agent/clients

go 1.26.0

toolchain go1.26.10

require github.com/hotspot-agent/hotspot-agent v0.0.0

require (
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/hotspot-agent/hotspot-agent => ../
