// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/command"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/exit"
	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/cli/output"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

func sessionMoveCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name: "move", Usage: "give a session to another device, also while it runs", ArgsUsage: "ID",
		Description: `The session continues there, and the device that it leaves is cut off. A MAC not yet
known becomes a device.

   hotspot-agent session move 3 --device 02:00:5e:10:00:02`,
		Flags:  []cli.Flag{targetFlag(), command.InterfaceFlag()},
		Action: e.Action(sessionMove),
	}
}

func sessionClaimCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name: "claim", Usage: "give the session of a code that a customer has to another device", ArgsUsage: "CODE",
		Description: `The code is shown once, when the session is created, and stays valid until
"session revoke-claim".

   hotspot-agent session claim 7K3M-9QWD-2HXR --device 02:00:5e:10:00:02`,
		Flags:  []cli.Flag{targetFlag(), command.InterfaceFlag()},
		Action: e.Action(sessionClaim),
	}
}

func sessionRenewCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name: "renew-claim", Usage: "print a new claim code of a session; the one it had is worthless then", ArgsUsage: "ID",
		Description: `For a code that was lost: no other call shows one after the sale.

   hotspot-agent session renew-claim 3`,
		Action: e.Action(sessionRenew),
	}
}

func sessionRevokeCommand(e command.Env) *cli.Command {
	return &cli.Command{
		Name: "revoke-claim", Usage: "revoke the claim code of a session", ArgsUsage: "ID",
		Action: e.Action(sessionRevoke),
	}
}

func targetFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Usage: "`DEVICE` that gets the session"}
}

func sessionMove(e command.Env, c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	if c.String("device") == "" {
		return exit.Usagef(c, "--device is missing")
	}
	session, err := e.Client(c).MoveSession(c.Context, number, command.Device(c, c.String("device")))
	return output.Session(e.Stdout, c, session, err)
}

func sessionClaim(e command.Env, c *cli.Context) error {
	if c.String("device") == "" {
		return exit.Usagef(c, "--device is missing")
	}
	session, err := e.Client(c).Claim(c.Context, c.Args().First(), command.Device(c, c.String("device")))
	return output.Session(e.Stdout, c, session, err)
}

func sessionRenew(e command.Env, c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	renewed, err := e.Client(c).RenewClaim(c.Context, number)
	if err != nil {
		return err
	}
	return showCode(e, c, number, "its new claim code", renewed, func(w io.Writer, claim api.Claim) {
		output.Fields(w, "session", output.ID(number), "claim code", claim.Claim)
	})
}

// showCode prints an answer whose code is shown once. When it cannot be printed the session
// is there all the same: the error says how to get another code.
func showCode[T any](e command.Env, c *cli.Context, session int64, what string, answer T, human func(io.Writer, T)) error {
	// A closed pipe, too, is to leave this line: without a handler it ends the program.
	closed := make(chan os.Signal, 1)
	signal.Notify(closed, syscall.SIGPIPE)
	defer signal.Stop(closed)
	err := output.Show(e.Stdout, c, answer, human)
	if err == nil {
		return nil
	}
	return &exit.Failure{
		Err:  fmt.Errorf("session %d is stored, but %s is lost: %w", session, what, err),
		Hint: fmt.Sprintf("print a new one: hotspot-agent session renew-claim %d", session),
	}
}

func sessionRevoke(e command.Env, c *cli.Context) error {
	number, err := sessionID(c)
	if err != nil {
		return err
	}
	if err := e.Client(c).RevokeClaim(c.Context, number); err != nil {
		return err
	}
	if !c.Bool("json") { // the API answers with nothing
		fmt.Fprintf(e.Stdout, "claim code of session %d revoked\n", number)
	}
	return nil
}
