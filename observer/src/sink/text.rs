//! Which exposition format a scraper wants, and the older of the two.

/// `Content-Type` of the OpenMetrics text format 1.0.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// `Content-Type` of the Prometheus text format.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    PrometheusText,
}

impl Format {
    /// Reads an `Accept` header (RFC 9110 section 12.5.1): the text format only where it is asked for by name and
    /// liked better than OpenMetrics.
    #[must_use]
    pub fn from_accept(accept: &str) -> Self {
        let (mut open, mut text, mut any) = (None, None, None);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .map_or(1.0, |(_, value)| value.trim().parse::<f32>().unwrap_or(0.0));
            let best = match media.as_str() {
                "application/openmetrics-text" => &mut open,
                "text/plain" | "text/*" => &mut text,
                "*/*" | "application/*" => &mut any,
                _ => continue,
            };
            *best = Some(best.map_or(quality, |known: f32| known.max(quality)));
        }
        let text = text.unwrap_or(0.0);
        if text > 0.0 && text > open.or(any).unwrap_or(0.0) {
            Self::PrometheusText
        } else {
            Self::OpenMetrics
        }
    }

    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => OPENMETRICS,
            Self::PrometheusText => PROMETHEUS_TEXT,
        }
    }
}

/// The Prometheus text format 0.0.4: a counter is described under its sample's name, and there is no `# UNIT` and
/// no `# EOF`.
#[must_use]
pub fn from_openmetrics(exposition: &str) -> String {
    let mut out = String::with_capacity(exposition.len() + 1_024);
    // HELP comes first and does not say that it is a counter's.
    let mut help: Option<(&str, &str)> = None;
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_that_its_accept_header_likes_best() {
        // What Prometheus 2.42 and 3.x send by default.
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::from_accept(prometheus_2), Format::OpenMetrics);
        let text_first = "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5,*/*;q=0.1";
        assert_eq!(Format::from_accept(text_first), Format::PrometheusText);
        assert_eq!(Format::from_accept("text/plain"), Format::PrometheusText);
        assert_eq!(
            Format::from_accept("text/plain; version=0.0.4; Q=0.3, */*;q=0.2"),
            Format::PrometheusText
        );
        // curl, and nobody's preference.
        assert_eq!(Format::from_accept("*/*"), Format::OpenMetrics);
        assert_eq!(Format::from_accept(""), Format::OpenMetrics);
        assert_eq!(Format::from_accept("text/plain;q=0"), Format::OpenMetrics);
        assert_eq!(Format::from_accept("text/plain;q=nonsense,;;=,"), Format::OpenMetrics);
    }

    #[test]
    fn the_text_format_names_counters_with_their_suffix() {
        let open = "# HELP observer_x_seconds Time.\n# TYPE observer_x_seconds gauge\n# UNIT observer_x_seconds seconds\nobserver_x_seconds 1.5\n# HELP observer_flows Flows.\n# TYPE observer_flows counter\nobserver_flows_total{a=\"# b\"} 3\n# EOF\n";
        let text = "# HELP observer_x_seconds Time.\n# TYPE observer_x_seconds gauge\nobserver_x_seconds 1.5\n# HELP observer_flows_total Flows.\n# TYPE observer_flows_total counter\nobserver_flows_total{a=\"# b\"} 3\n";
        assert_eq!(from_openmetrics(open), text);
    }
}
