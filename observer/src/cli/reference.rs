//! docs/configuration.md, from the types that the config file and the flags are read into.

use std::fmt::Write as _;

use clap::{Args as _, Command};
use serde_json::Value;

use super::changes::LIVE_KEYS;
use super::config::ConfigFile;
use super::run::RunArgs;
use super::settings::RunSettings;

const INTRODUCTION: &str = "\
# Configuration

`observer run` takes settings from flags, and from the YAML file of `--config`; in a cluster, that file is `config` in the
chart's values. Every flag has a key, and a flag wins over the file; a repeatable flag replaces the file's whole list. A key
that is not known, or a value that makes no sense, stops the start with a line that names it.

The file is read again when it changes, also where a ConfigMap is mounted. Keys that say *live* take effect at once; others
wait for the next start, and the log names them. A file that cannot be used changes nothing: the log says why, and
`observer_config_last_reload_successful` is 0 until one can.

```yaml
log_level: info
output: none
cluster_cidr: [10.244.0.0/16, 10.96.0.0/12]
exemptions:
  - {kind: unencrypted, server: legacy/billing, until: \"2027-01-01T00:00:00Z\", reason: migration}
  - {kind: unauthenticated, path_prefix: /healthz, reason: health-check}
issuers:
  - {issuer: \"https://sso.example.org\"}
```

Times are in seconds, sizes in bytes.

| key | type | default | live | meaning |
|---|---|---|---|---|
";

const MORE: &str = "
`OBSERVER_LOG` in the environment takes directives such as `observer=debug` instead of `log_level`; `NODE_NAME` stands for
`--node-name`, `KUBECONFIG` names an API server outside of a pod, and `NO_COLOR` keeps colours away.
";

/// The whole page.
#[must_use]
pub fn configuration_page() -> String {
    let mut page = String::from(INTRODUCTION);
    let schema = Value::from(schemars::schema_for!(ConfigFile));
    let flags = RunArgs::augment_args(Command::new("run"));
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let flag = flags.get_arguments().find(|flag| flag.get_id() == key.as_str());
        let help = flag.and_then(clap::Arg::get_help).map(ToString::to_string);
        let text = help.unwrap_or_else(|| described(property));
        let (meaning, default) = match text.split_once(" [default: ") {
            Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches(']').to_owned()),
            None => (text, default_of(key).unwrap_or_default()),
        };
        let flag = flag.and_then(clap::Arg::get_long).map(|flag| format!(" `--{flag}`")).unwrap_or_default();
        let live = if LIVE_KEYS.contains(&key.as_str()) { "live" } else { "" };
        let meaning = meaning.trim_end_matches('.');
        let row =
            format!("| `{key}`{flag} | {} | {default} | {live} | {meaning} |\n", type_of(property, &schema));
        page.push_str(&row.replace("FILE|DIR", "FILE or DIR"));
    }
    for (title, name) in [("exemptions", "Exemption"), ("issuers", "ConfiguredIssuer")] {
        part(&mut page, title, &schema["$defs"][name]);
    }
    page.push_str(MORE);
    page
}

/// The keys of one entry of a list.
fn part(page: &mut String, title: &str, schema: &Value) {
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "\n## `{title}`\n\n{}\n\n| key of an entry | type | meaning |\n|---|---|---|\n",
        described(schema)
    );
    let required =
        |key: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let must = if required(key) { ", required" } else { "" };
        let _ = writeln!(page, "| `{key}` | {}{must} | {} |", type_of(property, schema), described(property));
    }
}

fn described(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").trim_end_matches('.').to_owned()
}

/// In words. `root` has the definitions that are referred to.
fn type_of(property: &Value, root: &Value) -> String {
    if let Some(name) = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return type_of(&root["$defs"][name], root);
    }
    // An option is its type or null.
    let choices = property["anyOf"].as_array().into_iter().flatten();
    if let Some(choice) = choices.clone().find(|choice| choice["type"] != "null") {
        return type_of(choice, root);
    }
    let words = |values: &mut dyn Iterator<Item = &Value>| {
        let words: Vec<String> = values.filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };
    if let Some(values) = property["enum"].as_array() {
        return words(&mut values.iter());
    }
    if let Some(variants) = property["oneOf"].as_array() {
        return words(&mut variants.iter().map(|variant| &variant["const"]));
    }
    let name = match &property["type"] {
        Value::Array(types) => types.iter().find(|name| *name != "null").unwrap_or(&Value::Null),
        name => name,
    };
    match name.as_str() {
        Some("array") => match type_of(&property["items"], root) {
            items if items == "object" => "list, see below".to_owned(),
            items => format!("list of {items}"),
        },
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    }
}

/// Of a key that has no flag to say it: what comes out where nothing is set.
fn default_of(key: &str) -> Option<String> {
    let settings = RunSettings::load(RunArgs::default()).ok()?.0;
    Some(match key {
        "client_allowance" => settings.client_allowance.to_string(),
        "flow_rate" => settings.flow_rate.to_string(),
        "series_budget" => settings.series_budget.to_string(),
        "series_idle" => settings.series_idle.as_secs().to_string(),
        "token_unused_after" => settings.token_unused_after.as_secs().to_string(),
        "udp_idle" => settings.udp_idle.as_secs().to_string(),
        "both_ends" => settings.both_ends.to_string(),
        _ => return None,
    })
}
