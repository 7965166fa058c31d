// SPDX-License-Identifier: Apache-2.0

package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

//go:embed openapi.json
var openAPI []byte

func (s *Server) openAPI(*call) (*reply, error) { return ok(json.RawMessage(openAPI)) }

func (s *Server) agentStatus(c *call) (*reply, error) {
	status, err := s.service.AgentStatus(c.Context())
	if err != nil {
		return nil, err
	}
	return ok(status.normal())
}

func (s *Server) devices(c *call) (*reply, error) {
	devices, err := s.service.Devices(c.Context())
	if err != nil {
		return nil, err
	}
	out := listing{w: c.w}
	for _, d := range devices {
		if err := out.add(deviceOf(d)); err != nil {
			return nil, s.breakOff(out.opened, err)
		}
	}
	return out.end()
}

// createDevice answers 201 for a new device and 200 for one that was known.
func (s *Server) createDevice(c *call) (*reply, error) {
	spec, err := newDeviceFrom(c.body)
	if err != nil {
		return nil, err
	}
	_, lookup := s.service.FindDevice(c.Context(), spec.MAC)
	device, err := s.service.CreateDevice(c.Context(), spec)
	if err != nil {
		return nil, err
	}
	answer, err := created(fmt.Sprintf("/v1/devices/%d", device.ID), deviceOf(device))
	if lookup == nil {
		answer.status = 200
	}
	return answer, err
}

func (s *Server) find(c *call) (sessions.Device, error) {
	return s.service.FindDevice(c.Context(), c.PathValue("device"))
}

func (s *Server) device(c *call) (*reply, error) {
	device, err := s.find(c)
	if err != nil {
		return nil, err
	}
	return ok(deviceOf(device))
}

func (s *Server) updateDevice(c *call) (*reply, error) {
	patch, err := devicePatchFrom(c.body)
	if err != nil {
		return nil, err
	}
	device, err := s.find(c)
	if err != nil {
		return nil, err
	}
	if device, err = s.service.UpdateDevice(c.Context(), device.ID, patch); err != nil {
		return nil, err
	}
	return ok(deviceOf(device))
}

func (s *Server) connect(c *call) (*reply, error)    { return s.verb(c, s.service.Connect) }
func (s *Server) disconnect(c *call) (*reply, error) { return s.verb(c, s.service.Disconnect) }

func (s *Server) verb(c *call, do verb) (*reply, error) {
	notify, err := notifyFrom(c.body)
	if err != nil {
		return nil, err
	}
	device, err := s.find(c)
	if err != nil {
		return nil, err
	}
	status, err := do(c.Context(), device.ID, notify)
	if err != nil {
		return nil, err
	}
	return ok(statusOf(status))
}

func (s *Server) deviceStatus(c *call) (*reply, error) {
	device, err := s.find(c)
	if err != nil {
		return nil, err
	}
	status, err := s.service.Status(c.Context(), device.ID)
	if err != nil {
		return nil, err
	}
	return ok(statusOf(status))
}

func (s *Server) currentSession(c *call) (*reply, error) { return s.sessionOf(c, s.service.Current) }
func (s *Server) availableSession(c *call) (*reply, error) {
	return s.sessionOf(c, s.service.Next)
}

func (s *Server) sessionOf(c *call, pick picker) (*reply, error) {
	device, err := s.find(c)
	if err != nil {
		return nil, err
	}
	session, err := pick(c.Context(), device.ID)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func (s *Server) resolve(c *call) (*reply, error) {
	text := c.args.Get("ip")
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return nil, sessions.Invalidf("ip", "%q is not an IP address", text)
	}
	device, err := s.service.Resolve(c.Context(), ip.Unmap())
	if err != nil {
		return nil, err
	}
	return ok(deviceOf(device))
}

func (s *Server) sessions(c *call) (*reply, error) {
	filter, err := s.filterFrom(c)
	if err != nil {
		return nil, err
	}
	out := listing{w: c.w}
	for filter.Limit = listPage; ; {
		page, err := s.service.Sessions(c.Context(), filter)
		for i := 0; i < len(page) && err == nil; i++ {
			err = out.add(sessionOf(page[i]))
		}
		if err != nil {
			return nil, s.breakOff(out.opened, err)
		}
		if len(page) < listPage || out.gone {
			return out.end()
		}
		filter.After = page[len(page)-1].ID
	}
}

var states = []sessions.State{sessions.Available, sessions.Running, sessions.Paused, sessions.Consumed, sessions.Expired}

func (s *Server) filterFrom(c *call) (sessions.SessionFilter, error) {
	var filter sessions.SessionFilter
	for _, list := range c.args["state"] {
		for name := range strings.SplitSeq(list, ",") {
			if !slices.Contains(states, sessions.State(name)) {
				return filter, sessions.Invalidf("state", "%q is not a state (want some of %v)", name, states)
			}
			filter.States = append(filter.States, sessions.State(name))
		}
	}
	if ref := c.args.Get("device"); ref != "" {
		device, err := s.service.FindDevice(c.Context(), ref)
		if err != nil {
			return filter, err
		}
		filter.Device = device.ID
	}
	return filter, nil
}

func (s *Server) createSession(c *call) (*reply, error) {
	spec, ref, err := newSessionFrom(c.body)
	if err != nil {
		return nil, err
	}
	if spec.Device, err = s.buyer(c, ref, spec); err != nil {
		return nil, err
	}
	session, err := s.service.CreateSession(c.Context(), spec)
	if err != nil {
		return nil, err
	}
	return created(fmt.Sprintf("/v1/sessions/%d", session.ID), purchaseOf(session))
}

// buyer returns the device that buys; a MAC not yet known becomes a device, if the
// purchase is in order: for no device at all it is refused as what it is, else with
// NotFound.
func (s *Server) buyer(c *call, ref string, spec sessions.SessionSpec) (sessions.DeviceID, error) {
	return s.deviceOrNew(c, ref, func() error {
		_, err := s.service.CreateSession(c.Context(), spec)
		if sessions.CodeOf(err) == sessions.NotFound {
			return nil
		}
		return err
	})
}

// deviceOrNew finds a device; a MAC not yet known becomes one, if nothing speaks against it.
func (s *Server) deviceOrNew(c *call, ref string, against func() error) (sessions.DeviceID, error) {
	device, err := s.service.FindDevice(c.Context(), ref)
	if sessions.CodeOf(err) != sessions.NotFound {
		return device.ID, err
	}
	if _, notMAC := dataplane.ParseMAC(ref); notMAC != nil {
		return 0, err
	}
	if err := against(); err != nil {
		return 0, err
	}
	device, err = s.service.CreateDevice(c.Context(), sessions.DeviceSpec{MAC: ref})
	return device.ID, err
}

func sessionID(c *call) (sessions.SessionID, error) {
	text := c.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, sessions.Invalidf("id", "%q is not the id of a session", text)
	}
	return sessions.SessionID(id), nil
}

func (s *Server) session(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	session, err := s.service.Session(c.Context(), id)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func (s *Server) updateSession(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	patch, to, err := sessionPatchFrom(c.body)
	if err != nil {
		return nil, err
	}
	if to != "" {
		return s.moveSession(c, id, to)
	}
	session, err := s.service.UpdateSession(c.Context(), id, patch)
	if err != nil {
		return nil, err
	}
	return ok(sessionOf(session))
}

func (s *Server) deleteSession(c *call) (*reply, error) {
	id, err := sessionID(c)
	if err != nil {
		return nil, err
	}
	if err := s.service.DeleteSession(c.Context(), id); err != nil {
		return nil, err
	}
	return done()
}

func (s *Server) providers(c *call) (*reply, error) {
	records, err := s.service.Providers(c.Context())
	if err != nil {
		return nil, err
	}
	return ok(each(records, func(r sessions.ProviderRecord) Provider { return Provider(r) }))
}

func (s *Server) registerProvider(c *call) (*reply, error) {
	record, err := providerFrom(c.body)
	if err != nil {
		return nil, err
	}
	if err := s.service.RegisterProvider(c.Context(), record); err != nil {
		return nil, err
	}
	return created("/v1/providers/"+url.PathEscape(record.Name), Provider(record))
}

func (s *Server) unregisterProvider(c *call) (*reply, error) {
	if err := s.service.UnregisterProvider(c.Context(), c.PathValue("name")); err != nil {
		return nil, err
	}
	return done()
}
