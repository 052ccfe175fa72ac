// Which alerts are held back by others. Alertmanager's own inhibitor listens to a live stream and asks the wall clock; its rules
// are public, and what it does with them is this.

package routing

import "github.com/prometheus/common/model"

// inhibited says whether any rule holds an alert back while the given alerts fire. An alert that is both source and target of a
// rule is not held back by others of its kind.
func (r *Router) inhibited(target model.LabelSet, firing []model.LabelSet) bool {
	for _, rule := range r.inhibits {
		if !rule.TargetMatchers.Matches(target) {
			continue
		}
		both := rule.SourceMatchers.Matches(target)
	sources:
		for _, source := range firing {
			if !rule.SourceMatchers.Matches(source) {
				continue
			}
			for name := range rule.Equal {
				if source[name] != target[name] {
					continue sources
				}
			}
			if both && rule.TargetMatchers.Matches(source) {
				continue
			}
			return true
		}
	}
	return false
}
