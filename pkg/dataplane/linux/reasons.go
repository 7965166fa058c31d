// SPDX-License-Identifier: Apache-2.0

package linux

// reasonLabels are the names of the kernel's reasons in Status and in metrics:
// as stable as the codes (enum reason of bpf/abi.h), append only.
var reasonLabels = [hotspotReasonREASONS]string{
	hotspotReasonPASS_FORWARDED:    "pass_forwarded",
	hotspotReasonPASS_LOCAL:        "pass_local",
	hotspotReasonPASS_PREAUTH:      "pass_preauth",
	hotspotReasonPASS_BRIDGED:      "pass_bridged",
	hotspotReasonDROP_NO_RULE:      "drop_no_rule",
	hotspotReasonDROP_BLOCKED:      "drop_blocked",
	hotspotReasonDROP_RATE:         "drop_rate",
	hotspotReasonDROP_LIMIT:        "drop_limit",
	hotspotReasonDROP_DEADLINE:     "drop_deadline",
	hotspotReasonDROP_MALFORMED:    "drop_malformed",
	hotspotReasonDROP_PREAUTH_RATE: "drop_preauth_rate",
	hotspotReasonDROP_NO_ACCOUNT:   "drop_no_account",
	hotspotReasonDROP_BUSY:         "drop_busy",
	hotspotReasonDROP_UPLINK:       "drop_uplink",
	hotspotReasonDROP_BOUND:        "drop_bound",
}
