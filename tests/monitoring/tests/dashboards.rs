//! The dashboards show something: each of their queries runs against a real Prometheus that scrapes the real daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use observer_monitoring::dashboard::{Dashboard, Panel, list};
use observer_monitoring::selection::{Chosen, STEP, Selection};
use observer_monitoring::{Prometheus, Scraped, Series, Traffic, metrics_of, now, recorded};

const OVERVIEW: &str = "observer-overview";

struct Scene {
    prometheus: Prometheus,
    dashboards: Vec<Dashboard>,
    /// What the daemons export and the rules record.
    names: BTreeSet<String>,
    to: f64,
    _traffic: Traffic,
}

impl Scene {
    fn new() -> Result<Self> {
        let traffic = Traffic::new()?;
        // Most have no label `cluster`; whoever has it must see the others too.
        let prometheus = Prometheus::start(&[
            Scraped { job: "observer", address: traffic.daemon.address(), labels: &[] },
            Scraped { job: "observer-lost", address: traffic.lost.address(), labels: &[("cluster", "east")] },
        ])?;
        let dashboards = Dashboard::load()?;
        let recorded: BTreeSet<String> = recorded()?.into_iter().collect();
        let queries = queries(&dashboards)?;
        let asked: BTreeSet<&str> = queries.iter().flat_map(|(_, query)| metrics_of(query)).collect();
        // What is there from the start must be seen at zero before it grows.
        prometheus.wait_recorded(&["cluster:observer_lost_events:increase5m"])?;
        traffic.run()?;
        thread::sleep(Duration::from_secs(2));
        let needed: Vec<&str> = asked.into_iter().filter(|name| recorded.contains(*name)).collect();
        prometheus.wait_recorded(&needed)?;
        let mut names = recorded;
        for daemon in [&traffic.daemon, &traffic.lost] {
            let metrics = daemon.get_as("/metrics", "text/plain")?;
            let families = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
            names.extend(families.map(str::to_owned));
        }
        Ok(Self { prometheus, dashboards, names, to: now()?, _traffic: traffic })
    }

    fn dashboard(&self, uid: &str) -> Result<&Dashboard> {
        self.dashboards
            .iter()
            .find(|dashboard| dashboard.uid() == uid)
            .with_context(|| format!("no dashboard {uid}"))
    }

    /// The answer to a query of the Overview's panel of this title.
    fn answer(&self, title: &str, reference: &str) -> Result<Vec<Series>> {
        self.answer_in(OVERVIEW, &Chosen::new(), title, reference)
    }

    fn answer_in(&self, uid: &str, chosen: &Chosen, title: &str, reference: &str) -> Result<Vec<Series>> {
        let selection = self.select(self.dashboard(uid)?, chosen)?;
        let targets = self.panel(uid, title)?.targets()?;
        let target =
            targets.into_iter().find(|target| target.reference == reference).context("no such query")?;
        self.prometheus.query(&selection.expand(target.expression)?, self.to)
    }

    fn panel(&self, uid: &str, title: &str) -> Result<Panel<'_>> {
        let mut panels = self.dashboard(uid)?.panels().into_iter();
        panels
            .find(|panel| panel.title() == title && panel.kind() != "row")
            .with_context(|| format!("no panel {title}"))
    }

    fn select(&self, dashboard: &Dashboard, chosen: &Chosen) -> Result<Selection> {
        Selection::new(&self.prometheus, dashboard, self.to, chosen)
    }

    /// What is wrong with the panels of a dashboard if this is chosen.
    fn faults(&self, dashboard: &Dashboard, chosen: &Chosen) -> Result<Vec<String>> {
        let selection = self.select(dashboard, chosen)?;
        let mut faults = Vec::new();
        for panel in dashboard.panels() {
            for target in panel.targets()? {
                let fault = |what: String| {
                    format!("{}, query {}: {what}\n{}", panel.name(), target.reference, target.expression)
                };
                let expression = selection.expand(target.expression).with_context(|| panel.name())?;
                let answer = if target.instant {
                    self.prometheus.query(&expression, self.to)
                } else {
                    self.prometheus.query_range(&expression, selection.from(), self.to, STEP)
                };
                match answer {
                    Err(error) => faults.push(fault(format!("{error:#}"))),
                    Ok(series) if !series.iter().any(|series| series.has_numbers) => {
                        faults.push(fault(format!("no data, with {chosen:?}")));
                    }
                    Ok(_) => {}
                }
            }
        }
        Ok(faults)
    }
}

fn none(faults: &[String]) -> Result<()> {
    ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    Ok(())
}

/// One scene for all: it takes seconds, and nothing here changes it.
#[test]
fn every_panel_shows_something_of_a_node_with_every_kind_of_traffic() -> Result<()> {
    let scene = Scene::new()?;
    no_query_names_a_metric_that_does_not_exist(&scene).context("names")?;
    every_query_has_an_answer(&scene).context("queries")?;
    links_of_rows_lead_to_dashboards_that_show_something(&scene).context("links")?;
    the_edge_explorer_finds_the_flows_of_every_row(&scene).context("rows")?;
    every_kind_that_comes_up_has_a_runbook(&scene).context("runbooks")?;
    every_line_of_the_map_ends_at_circles_of_it(&scene).context("map")
}

/// Each query of a panel or a variable, and whose it is.
fn queries(dashboards: &[Dashboard]) -> Result<Vec<(String, &str)>> {
    let mut queries = Vec::new();
    for dashboard in dashboards {
        for variable in dashboard.variables()? {
            queries.push((format!("{}, variable {}", dashboard.file, variable.name), variable.query));
        }
        for panel in dashboard.panels() {
            queries.extend(panel.targets()?.into_iter().map(|target| (panel.name(), target.expression)));
        }
    }
    Ok(queries)
}

fn no_query_names_a_metric_that_does_not_exist(scene: &Scene) -> Result<()> {
    let mut faults = Vec::new();
    for (place, query) in queries(&scene.dashboards)? {
        for name in metrics_of(query).into_iter().filter(|name| *name != "up") {
            if !scene.names.contains(name) {
                faults.push(format!("{place}: no metric {name}\n{query}"));
            }
        }
    }
    none(&faults)
}

fn every_query_has_an_answer(scene: &Scene) -> Result<()> {
    let mut faults = Vec::new();
    for dashboard in &scene.dashboards {
        faults.extend(scene.faults(dashboard, &Chosen::new())?);
    }
    none(&faults)
}

/// The row that has the most findings; its links fill in the other dashboard's variables.
fn links_of_rows_lead_to_dashboards_that_show_something(scene: &Scene) -> Result<()> {
    let rows = scene.answer("Worst edges", "A")?;
    let worst = rows.iter().max_by(|a, b| a.value.total_cmp(&b.value)).context("no row")?;
    ensure!(worst.labels["server_service_account"] == "server", "{worst:?}");
    let selection = scene.select(scene.dashboard(OVERVIEW)?, &Chosen::new())?;
    let mut followed = BTreeSet::new();
    let mut faults = Vec::new();
    for url in scene
        .panel(OVERVIEW, "Worst edges")?
        .links()
        .into_iter()
        .filter(|url| url.starts_with("/d/"))
        .collect::<BTreeSet<_>>()
    {
        let (uid, chosen) = selection.follow(url, &worst.labels)?;
        ensure!(chosen.values().any(Option::is_some), "{url} fills in nothing");
        faults.extend(scene.faults(scene.dashboard(&uid)?, &chosen)?);
        followed.insert(uid);
    }
    none(&faults)?;
    ensure!(followed.iter().eq(["observer-edge", "observer-service-account"]), "{followed:?}");
    Ok(())
}

/// Also where an end is no pod, and so has neither namespace nor ServiceAccount.
fn the_edge_explorer_finds_the_flows_of_every_row(scene: &Scene) -> Result<()> {
    let links = scene.panel(OVERVIEW, "Worst edges")?.links();
    let url = links.into_iter().find(|url| url.starts_with("/d/observer-edge?")).context("no link")?;
    let selection = scene.select(scene.dashboard(OVERVIEW)?, &Chosen::new())?;
    let rows = scene.answer("Worst edges", "B")?;
    for kind in ["external", "unknown"] {
        ensure!(
            rows.iter().any(|row| row.labels.values().any(|value| value == kind)),
            "nothing {kind} in {rows:?}"
        );
    }
    for row in rows {
        let (uid, chosen) = selection.follow(url, &row.labels)?;
        let flows =
            scene.answer_in(&uid, &chosen, "Flows", "A").with_context(|| format!("{:?}", row.labels))?;
        let sum: f64 = flows.iter().map(|series| series.value).sum();
        // The explorer has all ports of the pair.
        ensure!(sum >= row.value, "{sum} of {row:?}");
    }
    Ok(())
}

/// In a column Runbook, a value mapping names the alert of each kind.
fn every_kind_that_comes_up_has_a_runbook(scene: &Scene) -> Result<()> {
    let mut tables = 0;
    for panel in scene.dashboards.iter().flat_map(Dashboard::panels) {
        let overrides = list(&panel.json["fieldConfig"]["overrides"]).iter();
        let Some(column) = overrides.into_iter().find(|one| one["matcher"]["options"] == "Runbook") else {
            continue;
        };
        let properties = list(&column["properties"]).iter();
        let mappings =
            properties.into_iter().find(|one| one["id"] == "mappings").with_context(|| panel.name())?;
        let metric =
            if panel.json["targets"].to_string().contains("serviceaccount:observer_posture_findings:max") {
                "observer_posture_known"
            } else {
                "observer_findings_total"
            };
        for kind in scene.prometheus.label_values(Some(metric), "kind", scene.to - 60.0, scene.to)? {
            ensure!(
                !mappings["value"][0]["options"][&kind].is_null(),
                "{}: no alert for {kind}",
                panel.name()
            );
        }
        tables += 1;
    }
    ensure!(tables > 0, "no panel has a column Runbook");
    Ok(())
}

fn every_line_of_the_map_ends_at_circles_of_it(scene: &Scene) -> Result<()> {
    let title = "Service map";
    let (nodes, edges) = (scene.answer(title, "nodes")?, scene.answer(title, "edges")?);
    let ids = |series: &[Series]| -> Result<BTreeSet<String>> {
        let ids: Vec<String> = series.iter().filter_map(|one| one.labels.get("id").cloned()).collect();
        let unique: BTreeSet<String> = ids.iter().cloned().collect();
        ensure!(
            ids.len() == series.len() && unique.len() == ids.len(),
            "an id is missing, or there twice: {ids:?}"
        );
        Ok(unique)
    };
    let circles = ids(&nodes).context("nodes")?;
    ids(&edges).context("edges")?;
    for expected in ["shop/client", "shop/server", "bank/ledger", "elsewhere/default", "external", "unknown"]
    {
        ensure!(circles.contains(expected), "no {expected} in {circles:?}");
    }
    let mut colors = BTreeMap::<&str, u32>::new();
    for edge in &edges {
        for end in ["source", "target"] {
            ensure!(edge.labels.get(end).is_some_and(|id| circles.contains(id)), "{end} of {edge:?}");
        }
        *colors.entry(edge.labels.get("color").map_or("none", String::as_str)).or_default() += 1;
    }
    ensure!(colors.get("red") > Some(&0), "no plaintext: {colors:?}");
    ensure!(nodes.iter().all(|node| node.labels["title"] == node.labels["id"]));
    Ok(())
}

/// What a panel's own JSON says of the columns that its queries make.
#[test]
fn what_a_table_sorts_colours_and_links_is_a_column_of_it() -> Result<()> {
    for dashboard in Dashboard::load()? {
        for panel in dashboard.panels().into_iter().filter(|panel| panel.kind() == "table") {
            columns_agree(panel).with_context(|| panel.name())?;
        }
    }
    Ok(())
}

fn columns_agree(panel: Panel<'_>) -> Result<()> {
    let targets = panel.targets()?;
    let transformations = list(&panel.json["transformations"]);
    let organize = transformations.iter().find(|one| one["id"] == "organize").context("no organize")?;
    let renamed = organize["options"]["renameByName"].as_object().context("no renameByName")?;
    let columns: BTreeSet<&str> = renamed.values().filter_map(|name| name.as_str()).collect();
    ensure!(columns.len() == renamed.len(), "two columns of one name: {columns:?}");
    for target in &targets {
        // Grafana calls a value so if there are several queries.
        let value = if targets.len() > 1 { format!("Value #{}", target.reference) } else { "Value".into() };
        ensure!(renamed.contains_key(&value), "no name for {value}");
        ensure!(target.instant, "query {} is not instant", target.reference);
    }
    let sorts = transformations.iter().filter(|one| one["id"] == "sortBy");
    let sorts = sorts.flat_map(|one| list(&one["options"]["sort"]).iter().map(|sort| &sort["field"]));
    let overrides =
        list(&panel.json["fieldConfig"]["overrides"]).iter().map(|one| &one["matcher"]["options"]);
    for name in sorts.chain(overrides) {
        if !name.as_str().is_some_and(|name| columns.contains(name)) {
            bail!("no column {name} in {columns:?}");
        }
    }
    Ok(())
}
