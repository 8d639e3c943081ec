//! What differs between two readings of the settings, and what of it needs no restart.

use super::settings::RunSettings;

/// The keys that take effect while the daemon runs. Any other waits for its next start.
pub const LIVE_KEYS: [&str; 9] = [
    "both_ends",
    "credential_headers",
    "exemptions",
    "flow_rate",
    "link_encryption",
    "log_level",
    "series_idle",
    "token_unused_after",
    "udp_idle",
];

/// The keys that differ, in the order of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub live: Vec<&'static str>,
    pub restart: Vec<&'static str>,
}

impl RunSettings {
    /// What of `new` is other than in `self`.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Changes {
        // Named one by one, so that a setting cannot be left out.
        let Self {
            inventory,
            graphs,
            graph_sources,
            issuers,
            api_audiences,
            cluster_cidrs,
            node_name,
            cgroup_root,
            listen,
            socket,
            output,
            flow_rate,
            both_ends,
            seccomp,
            log_level,
            exemptions,
            credential_headers,
            link_encryption,
            series_budget,
            series_idle,
            client_allowance,
            udp_idle,
            token_unused_after,
        } = self;
        let same = [
            ("inventory", *inventory == new.inventory),
            ("graph", *graphs == new.graphs),
            ("graph_sources", *graph_sources == new.graph_sources),
            ("issuers", *issuers == new.issuers),
            ("api_audience", *api_audiences == new.api_audiences),
            ("cluster_cidr", *cluster_cidrs == new.cluster_cidrs),
            ("node_name", *node_name == new.node_name),
            ("cgroup_root", *cgroup_root == new.cgroup_root),
            ("listen", *listen == new.listen),
            ("socket", *socket == new.socket),
            ("output", *output == new.output),
            ("flow_rate", *flow_rate == new.flow_rate),
            ("both_ends", *both_ends == new.both_ends),
            ("seccomp", *seccomp == new.seccomp),
            ("log_level", *log_level == new.log_level),
            ("exemptions", *exemptions == new.exemptions),
            ("credential_headers", *credential_headers == new.credential_headers),
            ("link_encryption", *link_encryption == new.link_encryption),
            ("series_budget", *series_budget == new.series_budget),
            ("series_idle", *series_idle == new.series_idle),
            ("client_allowance", *client_allowance == new.client_allowance),
            ("udp_idle", *udp_idle == new.udp_idle),
            ("token_unused_after", *token_unused_after == new.token_unused_after),
        ];
        let differ = same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key);
        let (live, restart) = differ.partition(|key| LIVE_KEYS.contains(key));
        Changes { live, restart }
    }

    /// Takes over what needs no restart.
    pub fn take_live(&mut self, new: &Self) {
        self.both_ends = new.both_ends;
        self.credential_headers.clone_from(&new.credential_headers);
        self.exemptions.clone_from(&new.exemptions);
        self.flow_rate = new.flow_rate;
        self.link_encryption = new.link_encryption;
        self.log_level = new.log_level;
        self.series_idle = new.series_idle;
        self.token_unused_after = new.token_unused_after;
        self.udp_idle = new.udp_idle;
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunArgs;
    use super::super::settings::Source;
    use super::*;

    fn settings(yaml: &str) -> RunSettings {
        let args = RunArgs { node_name: Some("n1".into()), ..RunArgs::default() };
        Source { args, text: Some(yaml.to_owned()) }.settings().unwrap()
    }

    /// Every key, with a value that is not its default.
    const OTHER: [&str; 22] = [
        "inventory: /i",
        "graph: [/g]",
        "graph_sources: [istio]",
        "issuers: [{issuer: 'https://a'}]",
        "api_audience: [a]",
        "cluster_cidr: [10.0.0.0/8]",
        "cgroup_root: /c",
        "listen: 127.0.0.1:1",
        "socket: /s",
        "output: none",
        "flow_rate: 7",
        "both_ends: true",
        "seccomp: allow",
        "log_level: debug",
        "exemptions: [{kind: unencrypted, reason: x}]",
        "credential_headers: [x-api-key]",
        "link_encryption: ipsec",
        "series_budget: 2000",
        "series_idle: 7",
        "client_allowance: 4096",
        "udp_idle: 7",
        "token_unused_after: 7",
    ];

    #[test]
    fn a_changed_key_is_named_and_what_needs_no_restart_is_taken_over() {
        let before = settings("{}");
        for yaml in OTHER {
            let (key, _) = yaml.split_once(':').unwrap();
            let (new, mut now) = (settings(yaml), before.clone());
            let changes = before.changes(&new);
            let all: Vec<&str> = changes.live.iter().chain(&changes.restart).copied().collect();
            assert_eq!(all, [key]);
            now.take_live(&new);
            let live = LIVE_KEYS.contains(&key);
            assert_eq!((changes.live.len(), now == new), (usize::from(live), live), "{key}");
        }
        assert_eq!(before.changes(&before), Changes::default());
    }

    #[test]
    fn a_flag_hides_that_the_files_key_has_changed() {
        let args = RunArgs { flow_rate: Some(3), ..RunArgs::default() };
        let of = |text: &str| Source { args: args.clone(), text: Some(text.into()) }.settings().unwrap();
        assert_eq!(of("flow_rate: 5").changes(&of("flow_rate: 6")), Changes::default());
    }
}
