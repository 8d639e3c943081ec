//! What can be told of the dashboards from their files alone.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use observer_monitoring::dashboard::{Dashboard, Panel, list};
use observer_monitoring::repository;
use serde_json::{Value, json};

/// The dashboards that are linked from elsewhere: their addresses stay.
const UIDS: [&str; 4] = ["observer-edge", "observer-health", "observer-overview", "observer-service-account"];
const KINDS: [&str; 5] = ["nodeGraph", "stat", "state-timeline", "table", "timeseries"];
const RUNBOOKS: &str = "https://github.com/observer-dev/observer/blob/main/docs/runbooks/";
/// Of the grid that panels lie in.
const COLUMNS: u64 = 24;

fn each_panel(check: impl Fn(Panel<'_>) -> Result<()>) -> Result<()> {
    for dashboard in Dashboard::load()? {
        for panel in dashboard.panels() {
            check(panel).with_context(|| panel.name())?;
        }
    }
    Ok(())
}

/// Then what somebody changed in Grafana and exported shows as just that.
#[test]
fn the_files_are_written_as_grafana_exports_them() -> Result<()> {
    for dashboard in Dashboard::load()? {
        let exported = serde_json::to_string_pretty(&dashboard.json)? + "\n";
        ensure!(
            exported == dashboard.text,
            "{}: keys in order, two spaces: `jq --sort-keys . FILE` writes it so",
            dashboard.file
        );
        let id = &dashboard.json["id"];
        ensure!(id.is_null(), "{}: leave out `id` ({id}), it is one Grafana's own", dashboard.file);
    }
    Ok(())
}

#[test]
fn a_dashboard_has_the_address_that_its_file_is_named_after() -> Result<()> {
    let dashboards = Dashboard::load()?;
    for dashboard in &dashboards {
        ensure!(
            format!("{}.json", dashboard.uid()) == format!("observer-{}", dashboard.file),
            "{}",
            dashboard.file
        );
        ensure!(
            dashboard.json["tags"] == json!(["observer"]),
            "{}: tags lead from one to another",
            dashboard.file
        );
        for key in ["title", "description"] {
            ensure!(
                dashboard.json[key].as_str().is_some_and(|text| !text.is_empty()),
                "{}: no {key}",
                dashboard.file
            );
        }
        ensure!(
            dashboard.json["schemaVersion"].as_u64() >= Some(38),
            "{}: older than Grafana 10",
            dashboard.file
        );
    }
    let uids: BTreeSet<&str> = dashboards.iter().map(Dashboard::uid).collect();
    assert_eq!(uids, BTreeSet::from(UIDS));
    Ok(())
}

#[test]
fn a_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_data_source() -> Result<()> {
    each_panel(|panel| {
        ensure!(!panel.title().is_empty(), "no title");
        if panel.kind() == "row" {
            return Ok(());
        }
        ensure!(KINDS.contains(&panel.kind()), "the type {} is not known to this test", panel.kind());
        let description = panel.json["description"].as_str().unwrap_or_default();
        ensure!(description.ends_with('.'), "no sentence describes it: {description:?}");
        let unit = panel.json["fieldConfig"]["defaults"]["unit"].as_str();
        ensure!(unit.is_some_and(|unit| !unit.is_empty()), "no unit");
        ensure!(!panel.targets()?.is_empty(), "no query");
        let chosen = json!({"type": "prometheus", "uid": "${datasource}"});
        let sources = list(&panel.json["targets"]).iter().map(|target| &target["datasource"]);
        for source in sources.chain([&panel.json["datasource"]]) {
            ensure!(*source == chosen, "the data source is {source}");
        }
        let references: BTreeSet<&str> = panel.targets()?.iter().map(|target| target.reference).collect();
        ensure!(references.len() == panel.targets()?.len(), "two queries of one refId");
        Ok(())
    })
}

#[test]
fn panels_have_numbers_and_places_of_their_own() -> Result<()> {
    for dashboard in Dashboard::load()? {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard.panels() {
            let id = panel.json["id"].as_u64().with_context(|| panel.name())?;
            ensure!(ids.insert(id), "{}: this id is there twice", panel.name());
            let at = |key: &str| panel.json["gridPos"][key].as_u64().with_context(|| panel.name());
            let (x, y, w, h) = (at("x")?, at("y")?, at("w")?, at("h")?);
            ensure!(w > 0 && h > 0 && x + w <= COLUMNS, "{}: outside of the grid", panel.name());
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                ensure!(taken.insert(place), "{}: lies on another at {place:?}", panel.name());
            }
        }
    }
    Ok(())
}

/// Whether the address is that of a runbook which is there.
fn is_runbook(url: &str) -> bool {
    let name = url.strip_prefix(RUNBOOKS).unwrap_or_default();
    name.ends_with(".md") && repository("docs/runbooks").join(name).is_file()
}

#[test]
fn links_lead_to_dashboards_and_runbooks_that_are_there() -> Result<()> {
    each_panel(|panel| {
        for url in panel.links() {
            if let Some(rest) = url.strip_prefix("/d/") {
                let uid = rest.split_once('?').map_or(rest, |(uid, _)| uid);
                ensure!(UIDS.contains(&uid), "no dashboard {uid}");
            } else if url == format!("{RUNBOOKS}${{__value.text}}.md") {
                mapped(panel.json)?;
            } else if !is_runbook(url) {
                bail!("{url} is no runbook");
            }
        }
        Ok(())
    })
}

/// Such a link is made of what a value mapping shows: the name of an alert.
fn mapped(panel: &Value) -> Result<()> {
    let overrides = list(&panel["fieldConfig"]["overrides"]).iter();
    let runbook = overrides.filter(|one| one["matcher"]["options"] == "Runbook");
    let properties = runbook.flat_map(|one| list(&one["properties"])).filter(|one| one["id"] == "mappings");
    let options = properties.flat_map(|one| list(&one["value"])).filter_map(|one| one["options"].as_object());
    let shown: Vec<&Value> =
        options.flat_map(|options| options.values().map(|shown| &shown["text"])).collect();
    ensure!(!shown.is_empty(), "no column Runbook with value mappings");
    for alert in shown.into_iter().map(|text| text.as_str().unwrap_or_default()) {
        ensure!(is_runbook(&format!("{RUNBOOKS}{alert}.md")), "{alert} has no runbook");
    }
    Ok(())
}

#[test]
fn every_dashboard_leads_to_the_others_and_to_the_runbooks() -> Result<()> {
    for dashboard in Dashboard::load()? {
        let links = list(&dashboard.json["links"]);
        let others =
            links.iter().find(|link| link["type"] == "dashboards").with_context(|| dashboard.file.clone())?;
        ensure!(
            others["tags"] == json!(["observer"]) && others["includeVars"] == true,
            "{}: {others}",
            dashboard.file
        );
        ensure!(
            links.iter().any(|link| link["url"] == RUNBOOKS),
            "{}: no link to the runbooks",
            dashboard.file
        );
    }
    Ok(())
}
