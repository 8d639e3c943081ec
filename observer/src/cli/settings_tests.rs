use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::{Cli, Command};
use crate::sink::fixture::TempDir;

fn args(flags: &[&str]) -> RunArgs {
    let cli = Cli::try_parse_from(["observer", "run"].iter().chain(flags)).unwrap();
    let Command::Run(args) = cli.command else { panic!() };
    *args
}

fn load(flags: &[&str], yaml: &str) -> Result<RunSettings, CliError> {
    let dir = TempDir::new();
    let path = dir.path().join("observer.yaml");
    std::fs::write(&path, yaml).unwrap();
    let mut args = args(flags);
    args.config = Some(path);
    RunSettings::load(args).map(|(settings, _)| settings)
}

/// The complaint about a config file, without the file's name.
fn complaint(yaml: &str) -> String {
    let error = load(&[], yaml).unwrap_err();
    assert!(matches!(error, CliError::Usage(_)), "{yaml} is a usage error");
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    let (file, rest) = text.split_once("observer.yaml: ").unwrap_or_else(|| panic!("names the file: {text}"));
    assert!(file.starts_with('/'));
    rest.to_owned()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings =
        RunSettings::resolve(args(&[]), ConfigFile::default(), "", || "host-1\n".to_owned()).unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:9464");
    assert_eq!(settings.socket.to_str(), Some("/run/observer/observer.sock"));
    assert_eq!((settings.output, settings.log_level), (Output::Json, LogLevel::Info));
    assert_eq!(settings.seccomp, Seccomp::Refuse);
    assert_eq!((settings.series_budget, settings.client_allowance), (50_000, 16_384));
    assert_eq!((settings.series_idle, settings.flow_rate), (Duration::from_secs(3_600), 1_000));
    assert!(settings.api_audiences.is_empty() && settings.cgroup_root.is_none() && !settings.both_ends);
}

#[test]
fn every_flag_of_run_has_a_key() {
    let unknown = complaint("nonsense: 1");
    let (_, keys) = unknown.split_once("there are ").unwrap();
    let keys: Vec<&str> = keys.split(", ").collect();
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let flags: Vec<String> = run
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|flag| *flag != "config")
        .map(|flag| flag.replace('-', "_"))
        .collect();
    assert_eq!(flags.len(), 15);
    for flag in flags {
        assert!(keys.contains(&flag.as_str()), "{flag} in {keys:?}");
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_file_key_line_and_the_keys_there_are() {
    let text = complaint("listen: 127.0.0.1:1\nlisten_addres: 127.0.0.1:2\n");
    assert!(text.starts_with("line 2: unknown key \"listen_addres\"; there are inventory, "), "{text}");
    assert!(complaint("node_name: n1\nlisten: nowhere\n").starts_with("line 2: listen: "));
    let text = complaint("exemptions:\n  - knid: unencrypted\n    reason: x\n");
    assert!(text.starts_with("line 2: unknown key \"knid\"; there are kind, client"), "{text}");
}

#[test]
fn bad_values_name_their_line() {
    for (yaml, line) in [
        ("listen: nowhere", "line 1: "),
        ("graph:\n  - a\noutput: xml", "line 3: "),
        ("cluster_cidr: [10.0.0.0/33]", "line 1: "),
        ("series_budget: many", "line 1: "),
        ("both_ends: [1]", "line 1: "),
        ("exemptions:\n  - kind: nothing\n    reason: x", "line 2: "),
        ("listen: [", "line 1: "),
        ("- a list", "line 1: "),
    ] {
        let text = complaint(yaml);
        assert!(text.starts_with(line), "{yaml:?}: {text}");
    }
}

#[test]
fn values_out_of_range_say_the_range() {
    assert!(complaint("series_budget: 10").contains("series_budget is 10; choose 1000 to 1000000"));
    assert!(complaint("flow_rate: 1000001").contains("flow_rate is 1000001; choose 0 to 1000000"));
    assert!(complaint("series_idle: 99999999").contains("choose 0 to 31536000"));
    assert!(complaint("udp_idle: 0").contains("udp_idle is 0; choose 1 to 3600"));
    assert!(
        complaint("client_allowance: 1000000").contains("client_allowance is 1000000; choose 256 to 24576")
    );
    assert!(complaint("credential_headers: ['x api']").contains("x api"));
    assert!(complaint("exemptions: [{reason: x}]").contains("entry 1: it would exempt everything"));
    assert!(complaint("exemptions: [{path_prefix: healthz, reason: x}]").contains("begin with /"));
    assert!(complaint("exemptions: [{kind: unencrypted, reason: ''}]").contains("reason"));
    assert!(complaint("exemptions: [{client: orders, reason: x}]").contains("NAMESPACE/SERVICEACCOUNT"));
}

#[test]
fn a_file_sets_everything_that_flags_do_and_more() {
    let settings = load(
        &[],
        "inventory: /i
graph: [/g1, /g2]
issuer: [https://a, https://b]
jwks: [/a.json, /b.json]
cluster_cidr: [10.244.1.7/16, 'fd00::/8']
node_name: n9
cgroup_root: /c
listen: '[::1]:9999'
socket: /s
output: text
both_ends: true
seccomp: kill
log_level: debug
exemptions:
  - {kind: unauthenticated, server: shop/web, path_prefix: /healthz, until: 2030-01-01T00:00:00Z, reason: health checks}
credential_headers: [X-API-Key]
link_encryption: ipsec
series_budget: 2000
client_allowance: 4096
series_idle: 0
flow_rate: 50
",
    )
    .unwrap();
    assert_eq!(settings.inventory, Some("/i".into()));
    assert_eq!(settings.graphs, [PathBuf::from("/g1"), "/g2".into()]);
    assert_eq!(
        settings.issuers[1],
        IssuerKeys { issuer: "https://b".into(), keys: KeysAt::File("/b.json".into()) }
    );
    assert!(settings.api_audiences.is_empty(), "the first issuer's, whoever that turns out to be");
    assert_eq!(settings.link_encryption, Some(LinkEncryption::Ipsec));
    assert_eq!(settings.cluster_cidrs[0].to_string(), "10.244.0.0/16");
    assert_eq!(settings.node_name, "n9");
    assert_eq!(
        (settings.output, settings.log_level, settings.both_ends),
        (Output::Text, LogLevel::Debug, true)
    );
    assert_eq!(settings.seccomp, Seccomp::Kill);
    assert_eq!(settings.credential_headers, ["x-api-key"]);
    assert_eq!(settings.exemptions[0].reason, "health checks");
    // date -u -d 2030-01-01T00:00:00Z +%s
    assert_eq!(settings.exemptions[0].until.unwrap().seconds(), 1_893_456_000);
    assert_eq!((settings.series_budget, settings.client_allowance), (2_000, 4_096));
    assert_eq!((settings.series_idle, settings.flow_rate), (Duration::ZERO, 50));
}

#[test]
fn flags_win_over_the_file() {
    let settings = load(
        &["--listen", "127.0.0.1:1", "--graph", "/mine", "--output", "none", "--issuer", "https://c", "--jwks", "/c", "--flow-rate", "0"],
        "flow_rate: 9\nlisten: 127.0.0.1:2\ngraph: [/a, /b]\noutput: text\nissuer: [https://a]\njwks: [/a]\napi_audience: [x]\nsocket: /s\n",
    )
    .unwrap();
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.graphs, [PathBuf::from("/mine")]);
    assert_eq!((settings.output, settings.flow_rate), (Output::None, 0));
    assert_eq!(
        settings.issuers,
        [IssuerKeys { issuer: "https://c".into(), keys: KeysAt::File("/c".into()) }]
    );
    assert_eq!(settings.api_audiences, ["x"]);
    assert_eq!(settings.socket.to_str(), Some("/s"));
}

#[test]
fn an_issuer_without_keys_is_a_usage_error_that_names_both_flags() {
    let flags = args(&["--issuer", "https://a", "--issuer", "https://b", "--jwks", "/a"]);
    let error = RunSettings::load(flags).unwrap_err();
    assert!(matches!(error, CliError::Usage(_)));
    assert!(error.to_string().starts_with("2 times --issuer and 1 times --jwks"), "{error}");
    let keys_alone = RunSettings::load(args(&["--jwks", "/a"])).unwrap_err();
    assert!(keys_alone.to_string().contains("--issuer"), "{keys_alone}");
    let twice = args(&["--issuer", "https://a", "--issuer", "https://a", "--jwks", "/a", "--jwks", "/b"]);
    assert!(RunSettings::load(twice).unwrap_err().to_string().contains("twice"));
}

#[test]
fn a_missing_file_is_a_usage_error_that_names_it() {
    let error = RunSettings::load(args(&["--config", "/nonexistent/observer.yaml"])).unwrap_err();
    assert!(matches!(error, CliError::Usage(_)));
    assert!(
        error.to_string().contains("/nonexistent/observer.yaml") && error.to_string().contains("--config")
    );
}

#[test]
fn an_empty_file_changes_nothing() {
    for yaml in ["", "\n", "# only a comment\n", "---\n", "{}\n"] {
        assert_eq!(ConfigFile::parse(yaml), Ok(ConfigFile::default()), "{yaml:?}");
    }
}

#[test]
fn an_issuers_keys_are_in_a_file_or_at_a_server() {
    let file = "\
issuers:
  - {issuer: https://a, jwks: /a.json}
  - {issuer: https://b, ca: /ca.pem}
  - {issuer: 'spiffe://example.org', jwks_url: 'https://bundle.example/keys'}
";
    let settings = load(&[], file).unwrap();
    let server = |url: Option<&str>, ca: Option<&str>| KeysAt::Server {
        url: url.map(Into::into),
        ca: ca.map(Into::into),
    };
    let keys: Vec<_> = settings.issuers.into_iter().map(|issuer| issuer.keys).collect();
    let bundle = server(Some("https://bundle.example/keys"), None);
    assert_eq!(keys, [KeysAt::File("/a.json".into()), server(None, Some("/ca.pem")), bundle]);
}

#[test]
fn an_issuer_that_makes_no_sense_is_a_usage_error_that_says_why() {
    for (entry, why) in [
        ("{issuer: https://a, jwks: /a, jwks_url: 'https://a/k'}", "keep one"),
        ("{issuer: 'spiffe://a'}", "set jwks or jwks_url"),
        ("{issuer: ''}", "no issuer"),
        ("{issuer: https://a, jwks: /a, ca: /ca}", "remove ca"),
        ("{issuer: https://a, kid: 1}", "unknown key"),
    ] {
        let error = load(&[], &format!("issuers: [{entry}]\n")).unwrap_err().to_string();
        assert!(error.contains(why), "{entry}: {error}");
    }
}
