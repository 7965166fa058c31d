// SPDX-License-Identifier: Apache-2.0

package bpf

// ReasonLabels are the names of the kernel's reasons in Status and in metrics:
// as stable as the codes (enum reason of bpf/abi.h), append only.
var ReasonLabels = [HotspotReasonREASONS]string{
	HotspotReasonPASS_FORWARDED:    "pass_forwarded",
	HotspotReasonPASS_LOCAL:        "pass_local",
	HotspotReasonPASS_PREAUTH:      "pass_preauth",
	HotspotReasonPASS_BRIDGED:      "pass_bridged",
	HotspotReasonDROP_NO_RULE:      "drop_no_rule",
	HotspotReasonDROP_BLOCKED:      "drop_blocked",
	HotspotReasonDROP_RATE:         "drop_rate",
	HotspotReasonDROP_LIMIT:        "drop_limit",
	HotspotReasonDROP_DEADLINE:     "drop_deadline",
	HotspotReasonDROP_MALFORMED:    "drop_malformed",
	HotspotReasonDROP_PREAUTH_RATE: "drop_preauth_rate",
	HotspotReasonDROP_NO_ACCOUNT:   "drop_no_account",
	HotspotReasonDROP_BUSY:         "drop_busy",
	HotspotReasonDROP_UPLINK:       "drop_uplink",
	HotspotReasonDROP_BOUND:        "drop_bound",
	HotspotReasonPASS_LINK_CONTROL: "pass_link_control",
	HotspotReasonPASS_OTHER_VLAN:   "pass_other_vlan",

	HotspotReasonANSWER_HANDSHAKE:   "answer_handshake",
	HotspotReasonANSWER_REDIRECT:    "answer_redirect",
	HotspotReasonANSWER_TLS_ALERT:   "answer_tls_alert",
	HotspotReasonANSWER_RESET:       "answer_reset",
	HotspotReasonANSWER_UNREACHABLE: "answer_unreachable",
	HotspotReasonPASS_ANSWER:        "pass_answer",
	HotspotReasonPASS_GARDEN:        "pass_garden",
	HotspotReasonDROP_GARDEN_RATE:   "drop_garden_rate",
}
