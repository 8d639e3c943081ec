use std::net::IpAddr;

/// An object that cannot be used, and why. One line; names the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {problem}")]
pub struct Malformed {
    /// `Pod shop/orders-7d-x2`.
    pub object: String,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{key} is missing; give the object as the API server has it: `kubectl get {kind} -A -o yaml`")]
    Missing { key: &'static str, kind: &'static str },
    #[error(
        "it is Running but has no status.podIP, so nothing can be known of its traffic; give the whole object \
         (`kubectl get pod -A -o yaml` prints its status), or set status.podIP"
    )]
    PodWithoutAddress,
    #[error(
        "no status.addresses entry of type InternalIP, so its traffic would look external; give the whole object \
         (`kubectl get node -o yaml` prints its status), or set one"
    )]
    NodeWithoutAddress,
    #[error(
        "{key} is {value:?}, which is not an {expected}; write it as the API server does, such as {example}"
    )]
    NotAnAddress { key: &'static str, value: String, expected: &'static str, example: &'static str },
    #[error("there are already {bound} {kind}, as many as are kept; this one is unknown")]
    Full { bound: usize, kind: &'static str },
}

impl Malformed {
    pub(super) fn new(object: &str, problem: Problem) -> Self {
        Self { object: object.to_owned(), problem }
    }
}

pub(super) fn parse_ip(text: &str, object: &str, key: &'static str) -> Result<IpAddr, Malformed> {
    text.parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| {
        Malformed::new(
            object,
            Problem::NotAnAddress {
                key,
                value: text.to_owned(),
                expected: "IP address",
                example: "10.244.0.7",
            },
        )
    })
}

pub(super) fn parse_cidr(text: &str, object: &str, key: &'static str) -> Result<ipnet::IpNet, Malformed> {
    text.parse::<ipnet::IpNet>().map(|net| net.trunc()).map_err(|_| {
        Malformed::new(
            object,
            Problem::NotAnAddress {
                key,
                value: text.to_owned(),
                expected: "address range",
                example: "10.244.0.0/24",
            },
        )
    })
}

/// What every such object has to have.
pub(super) fn required<'a>(
    value: Option<&'a str>,
    object: &str,
    key: &'static str,
    kind: &'static str,
) -> Result<&'a str, Malformed> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Malformed::new(object, Problem::Missing { key, kind }))
}
