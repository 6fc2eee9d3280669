# Part of ./engine and tests/engine29/engine: the way out for the containers of an
# engine that runs beside another on a bridge of its own. Such an engine leaves the
# firewall alone; what it lacks for that are these rules, each of which names its
# bridge, so that no packet of another engine's, or of the machine's, meets them.
# shellcheck shell=bash

# Lets the containers of a bridge ($1) and its network ($2) reach each other and, in
# the machine's name, what lies behind its default routes: package registries, say.
# From outside nobody reaches them but by a published port.
open_bridge() {
    add_rules "$@" ||
        say "The firewall takes no rules for $1 (is iptables installed?): containers reach this machine only."
}

add_rules() {
    local device
    iptables --wait --table nat --append POSTROUTING --source "$2" ! --out-interface "$1" --jump MASQUERADE &&
        accept --in-interface "$1" --out-interface "$1" &&
        accept --out-interface "$1" --match conntrack --ctstate RELATED,ESTABLISHED || return
    for device in $(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort --unique); do
        accept --in-interface "$1" --out-interface "$device" || return
    done
}

# First, since another engine may end the list with a rule, or policy, that drops.
accept() { iptables --wait --insert FORWARD "$@" --jump ACCEPT; }

# Takes all rules away that name the bridge.
close_bridge() {
    local table rule
    command -v iptables >/dev/null || return 0
    for table in filter nat; do
        iptables --wait --table "$table" --list-rules 2>/dev/null | grep --word-regexp -e "$1" |
            while read -r -a rule; do iptables --wait --table "$table" --delete "${rule[@]:1}"; done || true
    done
}
