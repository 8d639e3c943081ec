// Istio's API, whose CRDs say what an AuthorizationPolicy may be.
module observer.dev/tests/deploy/istio

go 1.26.0

require (
	istio.io/api v1.27.3
)
