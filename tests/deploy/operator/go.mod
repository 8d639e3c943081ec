// The Prometheus operator, whose CRDs say what a ServiceMonitor and a PrometheusRule may be.
module observer.dev/tests/deploy/operator

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
