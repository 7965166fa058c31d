// SPDX-License-Identifier: Apache-2.0

package plot

import "regexp"

// The axis of the limiter's figures.
const perFlow = "w: packets that a flow has in flight at its share"

// figures are all pictures.
var figures = []figure{
	{
		file: "limiter-goodput", study: "limiter", metric: "goodput", x: perFlow,
		title: "What TCP can use of the speed", y: "share of what the limit allows",
	}, {
		file: "limiter-fairness", study: "limiter", metric: "Jain's index", x: perFlow,
		title: "How evenly a customer's flows share", y: "Jain's index (1 is even)",
	}, {
		file: "limiter-retransmitted-cubic", study: "limiter", metric: "retransmitted", x: perFlow,
		cells: regexp.MustCompile(`ms cubic`), log: 0.05,
		title: "Sent again by cubic", y: "% of the bytes sent",
	}, {
		file: "limiter-retransmitted-bbr", study: "limiter", metric: "retransmitted", x: perFlow,
		cells: regexp.MustCompile(`ms bbr×\d+ `), log: 0.05,
		title: "Sent again by bbr", y: "% of the bytes sent",
	}, {
		file: "limiter-echo-delay", study: "limiter", metric: "echo delay added", x: perFlow, log: 0.05,
		title: "Delay that the load adds to a small packet", y: "ms, median",
	}, {
		file: "limiter-echo-loss", study: "limiter", metric: "echo loss", x: perFlow,
		title: "Small packets lost beside the load", y: "%",
	}, {
		file: "limiter-udp", study: "limiter", metric: "udp off its speed",
		title: "UDP at twice the speed: off the limit by", y: "%",
	},
}
