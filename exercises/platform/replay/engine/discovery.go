package engine

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
)

// asked takes the configuration of a discovery that asks somebody as it is. Prometheus' own type would bring the client of whoever is asked along (that of
// Kubernetes is large); whether it is right is what the Prometheus says that runs with it, and a replay discovers nothing.
type asked struct {
	whom string
	said map[string]any
}

func init() {
	for _, whom := range []string{"kubernetes", "http"} {
		discovery.RegisterConfig(&asked{whom: whom})
	}
}

func (a *asked) Name() string { return a.whom }

func (a *asked) UnmarshalYAML(unmarshal func(any) error) error { return unmarshal(&a.said) }

func (*asked) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return nil, errors.New("a replay discovers nothing")
}

func (*asked) NewDiscovererMetrics(prometheus.Registerer, discovery.RefreshMetricsInstantiator) discovery.DiscovererMetrics {
	return nil
}
