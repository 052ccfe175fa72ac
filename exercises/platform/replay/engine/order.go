// Which rule needs which other one first. A rule whose inputs are all recorded can be evaluated over a whole timeline at once;
// rules that need one another moment by moment (a cycle, or a rule that reads what a later rule of its own group records, and
// so sees the value of the evaluation before) form one unit and go in lockstep.

package engine

import (
	"slices"
	"time"
)

// Unit is one rule, or several that cannot be told apart in time.
type Unit struct {
	Rules []*Rule
	// Lockstep units are evaluated rule by rule at every moment; others in one query each.
	Lockstep bool
	// needs are the units that must be finished first.
	needs []*Unit
	// reads says how far back the unit looks at what another one records.
	reads map[*Unit]time.Duration
	// window is the smallest range over which anyone looks at what the unit records.
	window time.Duration
}

// Order groups rules into units, each after all that it needs.
func Order(rules []*Rule) []*Unit {
	n := len(rules)
	edges := make([][]int, n) // from a consumer to its producers
	looks := make([]sight, n)
	for i, r := range rules {
		looks[i] = sightOf(r.Expr)
	}
	for i, consumer := range rules {
		for j, producer := range rules {
			for _, l := range looks[i].looks {
				if !producer.produces(l) {
					continue
				}
				edges[i] = append(edges[i], j)
				if consumer.group == producer.group && consumer.place < producer.place {
					edges[j] = append(edges[j], i)
				}
				break
			}
		}
	}
	var units []*Unit
	of := make([]*Unit, n)
	for _, members := range components(edges) {
		slices.Sort(members)
		u := &Unit{reads: map[*Unit]time.Duration{}, Lockstep: len(members) > 1}
		for _, i := range members {
			u.Rules = append(u.Rules, rules[i])
			of[i] = u
			if slices.Contains(edges[i], i) || looks[i].timeBound {
				u.Lockstep = true
			}
		}
		units = append(units, u)
	}
	for i := range rules {
		for _, j := range edges[i] {
			consumer, producer := of[i], of[j]
			for _, l := range looks[i].looks {
				if !rules[j].produces(l) {
					continue
				}
				if l.window > 0 {
					producer.window = smaller(producer.window, l.window)
				}
				if consumer == producer {
					continue
				}
				if _, ok := consumer.reads[producer]; !ok {
					consumer.needs = append(consumer.needs, producer)
				}
				consumer.reads[producer] = max(consumer.reads[producer], l.back+rules[i].Offset)
			}
		}
	}
	return units
}

// components are the strongly connected components, producers first (Tarjan's algorithm gives them in that order).
func components(edges [][]int) [][]int {
	n := len(edges)
	index, low, on := make([]int, n), make([]int, n), make([]bool, n)
	var stack []int
	var out [][]int
	next := 1
	var visit func(v int)
	visit = func(v int) {
		index[v], low[v] = next, next
		next++
		stack, on[v] = append(stack, v), true
		for _, w := range edges[v] {
			if index[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if on[w] {
				low[v] = min(low[v], index[w])
			}
		}
		if low[v] != index[v] {
			return
		}
		var c []int
		for {
			w := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			on[w] = false
			c = append(c, w)
			if w == v {
				break
			}
		}
		out = append(out, c)
	}
	for v := range edges {
		if index[v] == 0 {
			visit(v)
		}
	}
	return out
}
