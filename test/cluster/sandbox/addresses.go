package sandbox

import (
	"fmt"
	"strconv"
)

// Addresses of a sandbox; they follow from its slot.
type Addresses struct {
	Host   string // the machine's end of the veth pair
	Inside string // the sandbox's end
	Pods   string // CIDR of the bridge: nodes' and pods' addresses
	Bridge string // first address of Pods, the bridge's own
	slot   int
}

func addressesOf(slot int) Addresses {
	third := strconv.Itoa(16 * slot)
	return Addresses{
		Host:   fmt.Sprintf("10.89.%d.1", slot),
		Inside: fmt.Sprintf("10.89.%d.2", slot),
		Pods:   "10.88." + third + ".0/20",
		Bridge: "10.88." + third + ".1",
		slot:   slot,
	}
}

// Node returns the address of node n, counted from 0, and the first and last
// address of its pods. There is room for MaxNodes.
func (a Addresses) Node(n int) (address, first, last string) {
	third := a.third(n)
	return fmt.Sprintf("10.88.%d.%d", 16*a.slot, 2+n), fmt.Sprintf("10.88.%d.0", third), fmt.Sprintf("10.88.%d.255", third+2)
}

// PodsOf returns the networks of node n's pods, with commas between them.
func (a Addresses) PodsOf(n int) string {
	third := a.third(n)
	return fmt.Sprintf("10.88.%d.0/24,10.88.%d.0/24,10.88.%d.0/24", third, third+1, third+2)
}

// third is the third number in the first of node n's networks.
func (a Addresses) third(n int) int { return 16*a.slot + 1 + 3*n }

// MaxNodes in a sandbox: each has three of the sixteen /24 networks of Pods.
const MaxNodes = 5
