//! The dashboards in `deploy/grafana`, as far as their queries and links go.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::repository;

const FOLDER: &str = "deploy/grafana";

pub struct Dashboard {
    /// The file's name.
    pub file: String,
    pub text: String,
    pub json: Value,
}

/// One query of a panel.
pub struct Target<'a> {
    pub reference: &'a str,
    pub expression: &'a str,
    pub instant: bool,
}

/// A template variable that a query fills.
pub struct Variable<'a> {
    pub name: &'a str,
    pub query: &'a str,
    pub regex: &'a str,
    pub all: Option<&'a str>,
}

impl Dashboard {
    /// All of them, by name.
    ///
    /// # Errors
    /// There is none, or one is no JSON.
    pub fn load() -> Result<Vec<Self>> {
        let folder = repository(FOLDER);
        let files = fs::read_dir(&folder).with_context(|| FOLDER.to_owned())?;
        let mut paths: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
        paths.sort();
        ensure!(!paths.is_empty(), "{FOLDER} is empty");
        paths
            .into_iter()
            .map(|path| {
                let file = path.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
                let text = fs::read_to_string(&path).with_context(|| file.clone())?;
                let json = serde_json::from_str(&text).with_context(|| file.clone())?;
                Ok(Self { file, text, json })
            })
            .collect()
    }

    #[must_use]
    pub fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap_or_default()
    }

    /// Those of collapsed rows too.
    #[must_use]
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let mut all = Vec::new();
        for panel in list(&self.json["panels"]) {
            all.push(Panel { dashboard: self, json: panel });
            all.extend(list(&panel["panels"]).iter().map(|json| Panel { dashboard: self, json }));
        }
        all
    }

    /// In their order: a query of one can hold those before it.
    ///
    /// # Errors
    /// One is neither the datasource nor a query.
    pub fn variables(&self) -> Result<Vec<Variable<'_>>> {
        let mut all = Vec::new();
        for variable in list(&self.json["templating"]["list"]) {
            let name = text(variable, "name")?;
            match variable["type"].as_str() {
                Some("datasource") => ensure!(name == "datasource", "a datasource called {name}"),
                Some("query") => all.push(Variable {
                    name,
                    query: text(&variable["query"], "query").with_context(|| format!("variable {name}"))?,
                    regex: text(variable, "regex")?,
                    all: if variable["includeAll"] == true {
                        Some(text(variable, "allValue")?)
                    } else {
                        None
                    },
                }),
                other => anyhow::bail!("{}: variable {name} is of the type {other:?}", self.file),
            }
        }
        Ok(all)
    }
}

/// A panel, or the title of a row of panels.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    dashboard: &'a Dashboard,
    pub json: &'a Value,
}

impl<'a> Panel<'a> {
    #[must_use]
    pub fn kind(&self) -> &'a str {
        self.json["type"].as_str().unwrap_or_default()
    }

    #[must_use]
    pub fn title(&self) -> &'a str {
        self.json["title"].as_str().unwrap_or_default()
    }

    /// For messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, panel {} {:?}", self.dashboard.file, self.json["id"], self.title())
    }

    /// # Errors
    /// One has no refId or no expression.
    pub fn targets(&self) -> Result<Vec<Target<'a>>> {
        let targets = list(&self.json["targets"]).iter().map(|target| {
            Ok(Target {
                reference: text(target, "refId")?,
                expression: text(target, "expr")?,
                instant: target["instant"] == true,
            })
        });
        targets.collect::<Result<_>>().with_context(|| self.name())
    }

    /// The addresses of all links of the panel and of its fields.
    #[must_use]
    pub fn links(&self) -> Vec<&'a str> {
        let mut all = Vec::new();
        collect_links(self.json, &mut all);
        all
    }
}

fn collect_links<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            all.extend(fields.get("url").and_then(Value::as_str));
            fields.values().for_each(|field| collect_links(field, all));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_links(value, all)),
        _ => {}
    }
}

#[must_use]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key}: {value}"))
}
