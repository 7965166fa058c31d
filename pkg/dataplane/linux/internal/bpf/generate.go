// SPDX-License-Identifier: Apache-2.0

package bpf

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -cflags "-O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" -type abi -type direction -type preauth_speed -type verdict -type event_kind -type event -type reason -type captive_https -type name_key -type garden_addr -type dns_stream -type garden_count -type garden_program -type rule -type client -type uplink -type fair -type meta -type portal_key -type addr_key -type prefix_key -type vlan_key Hotspot ../../../../../bpf/hotspot.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -cflags "-O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" Captive ../../../../../bpf/captive.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel,bpfeb -cflags "-O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" Garden ../../../../../bpf/garden.c
