//! The Grafana dashboard and the alerts in `deploy/grafana`: what they ask for exists, and has data.
//!
//! Most of it is read and compared with the table of metrics. The last test runs it: millpond under traffic, a
//! real Prometheus in front of it, and every expression of the dashboard. Prometheus and promtool are those of
//! this machine, or Debian's, fetched once into the target folder; where neither can be had, these tests say so
//! and pass, but in CI (the variable `CI` is set) they fail.

#[path = "grafana/dashboard.rs"]
mod dashboard;
#[path = "grafana/expression.rs"]
mod expression;
#[path = "grafana/live.rs"]
mod live;
#[path = "grafana/tools.rs"]
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use dashboard::{Dashboard, fill, list, names_after, text};
use expression::Asked;
use live::{Server, TRACE};
use millpond::telemetry::semconv::{
    FIRST_TOKEN_TIME, Generation, INFERENCE_DURATION, INFERENCE_FIRST_CHUNK, METRICS, Metric,
    REQUEST_DURATION,
};
use tokio::time::interval;
use tools::tools;

/// Metrics that no panel shows, and why.
const NOT_SHOWN: [(&str, &str); 0] = [];
/// Metrics that lead from their buckets to traces.
const WITH_EXEMPLARS: [Metric; 4] =
    [INFERENCE_DURATION, INFERENCE_FIRST_CHUNK, REQUEST_DURATION, FIRST_TOKEN_TIME];
/// How long Prometheus may take to have data for every panel.
const DEADLINE: Duration = Duration::from_secs(90);

/// The queries of the dashboard and the alerts, each with its place and with variables filled in.
fn expressions() -> Vec<(String, String)> {
    let dashboard = Dashboard::read();
    let of_panels = dashboard.queries().into_iter().map(|query| (query.place, fill(query.expression)));
    let of_variables = dashboard
        .variables()
        .into_iter()
        .map(|variable| (format!("variable {}", variable.name), fill(variable.selector)));
    let of_alerts = dashboard::alerts().into_iter().map(|alert| (alert.name, alert.expression));
    of_panels.chain(of_variables).chain(of_alerts).collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn expressions_ask_for_metrics_and_labels_that_exist() {
    let mut complaints = Vec::new();
    for (place, expression) in expressions() {
        match Asked::of(&expression) {
            Err(error) => complaints.push(format!("{place}: {error}: {expression}")),
            Ok(asked) if asked.series.is_empty() => complaints.push(format!("{place}: asks for nothing")),
            Ok(asked) => {
                complaints.extend(asked.complaints().iter().map(|complaint| format!("{place}: {complaint}")))
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_metric_is_shown_under_its_latest_name() {
    let mut shown = BTreeSet::new();
    for query in Dashboard::read().queries() {
        shown.extend(Asked::of(&fill(query.expression)).unwrap().metrics().map(|metric| metric.name));
    }
    for metric in METRICS {
        let listed = NOT_SHOWN.iter().any(|(name, _)| *name == metric.name);
        let wanted = metric.generation != Generation::Legacy && !listed;
        assert_eq!(shown.contains(metric.name), wanted, "{}", metric.name);
    }
}

#[test]
fn alerts_use_latest_names_too() {
    for alert in dashboard::alerts() {
        for metric in Asked::of(&alert.expression).unwrap().metrics() {
            assert_ne!(metric.generation, Generation::Legacy, "{}: {}", alert.name, metric.name);
        }
    }
}

#[test]
fn texts_name_labels_that_the_expressions_have() {
    for query in Dashboard::read().queries() {
        let groups = Asked::of(&fill(query.expression)).unwrap().groups;
        let named = names_after(query.legend.unwrap_or_default(), "{{");
        assert!(named.is_subset(&groups), "{}: {named:?} are not in {groups:?}", query.place);
    }
    for alert in dashboard::alerts() {
        let mut groups = Asked::of(&alert.expression).unwrap().groups;
        groups.extend(["job".to_owned(), "instance".to_owned()]);
        assert!(alert.labels.is_subset(&groups), "{}: {:?} {groups:?}", alert.name, alert.labels);
    }
}

#[test]
fn series_of_a_panel_have_different_names() {
    for panel in Dashboard::read().panels() {
        let legends: Vec<_> = panel.queries().iter().map(|query| query.legend).collect();
        let different: BTreeSet<_> = legends.iter().collect();
        assert_eq!(legends.len(), different.len(), "{}", panel.title);
        if panel.json["type"] != "table" {
            assert!(
                legends.iter().all(|legend| legend.is_some_and(|name| !name.is_empty())),
                "{}",
                panel.title
            );
        }
    }
}

#[test]
fn variables_are_declared_and_used() {
    let dashboard = Dashboard::read();
    let declared: BTreeSet<String> = dashboard.variable_names().into_iter().map(str::to_owned).collect();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for query in dashboard.queries() {
        used.extend(names_after(query.expression, "$"));
    }
    used.extend(dashboard.variables().iter().flat_map(|variable| names_after(variable.selector, "$")));
    used.extend(names_after(&dashboard::read("dashboard.json"), "${"));
    let grafanas: BTreeSet<String> = ["__rate_interval", "__range"].map(str::to_owned).into();
    assert_eq!(used.difference(&grafanas).cloned().collect::<BTreeSet<_>>(), declared);
    for query in dashboard.queries() {
        assert!(!fill(query.expression).contains('$'), "{}", query.place);
    }
}

#[test]
fn panels_lie_side_by_side() {
    let dashboard = Dashboard::read();
    let mut taken = BTreeMap::new();
    for panel in dashboard.all() {
        let title = text(&panel["title"]);
        let side =
            |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{title} has no {name}"));
        let (x, y, width, height) = (side("x"), side("y"), side("w"), side("h"));
        assert!(width > 0 && height > 0 && x + width <= 24, "{title} does not fit");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                panic!("{title} lies on {other}");
            }
        }
    }
    // A cell that is free would be filled by Grafana, which moves panels up.
    let bottom = taken.keys().map(|(_, y)| y + 1).max().unwrap();
    assert_eq!(taken.len() as u64, 24 * bottom, "there are holes between panels");
}

#[test]
fn panels_say_what_they_show() {
    let dashboard = Dashboard::read();
    assert_eq!(dashboard.field("uid"), "millpond");
    let ids: BTreeSet<_> = dashboard.all().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    let titles: BTreeSet<_> = dashboard.all().iter().map(|panel| text(&panel["title"])).collect();
    assert_eq!((ids.len(), titles.len()), (dashboard.all().len(), dashboard.all().len()));
    for panel in dashboard.panels() {
        let description = text(&panel.json["description"]);
        assert!(description.ends_with('.') && description.contains([' ', ';']), "{}", panel.title);
        // Other panels are referred to by their titles.
        for quoted in description.split('“').skip(1).map(|rest| rest.split('”').next().unwrap()) {
            assert!(titles.iter().any(|title| title.starts_with(quoted)), "{}: {quoted}", panel.title);
        }
        assert!(!text(&panel.json["fieldConfig"]["defaults"]["unit"]).is_empty(), "{}", panel.title);
        assert_eq!(panel.json["datasource"]["uid"], "${datasource}", "{}", panel.title);
        for target in list(&panel.json["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel.title);
        }
    }
}

#[test]
fn latency_leads_to_traces() {
    for panel in Dashboard::read().panels() {
        let queries = panel.queries();
        let may = queries.iter().any(|query| {
            let mut metrics = WITH_EXEMPLARS.iter();
            metrics.any(|metric| query.expression.contains(&format!("{}_bucket", metric.prometheus_name())))
        });
        let does = queries.iter().any(|query| query.has_exemplars);
        assert_eq!(does, may && panel.json["type"] == "timeseries", "{}", panel.title);
    }
}

#[test]
fn every_alert_is_tested_both_ways() {
    let tests = dashboard::read("alerts_test.yaml");
    for alert in dashboard::alerts() {
        let cases: Vec<&str> = tests.split(&format!("alertname: {}\n", alert.name)).skip(1).collect();
        let silent = cases.iter().filter(|case| case.trim_start().starts_with("exp_alerts: []")).count();
        assert!(silent > 0 && silent < cases.len(), "{}: {silent} of {} are silent", alert.name, cases.len());
    }
}

#[test]
fn promtool_accepts_the_alerts() {
    let Some(tools) = tools() else { return };
    let rules = dashboard::read("alerts.yaml").matches("- alert:").count();
    assert_eq!(rules, dashboard::alerts().len());
    tools.check(&["check", "rules", "alerts.yaml"], &dashboard::folder(), Stdio::null());
    tools.check(&["test", "rules", "alerts_test.yaml"], &dashboard::folder(), Stdio::null());
}

#[test]
fn promtool_accepts_the_config_in_the_readme() {
    let Some(tools) = tools() else { return };
    let readme = dashboard::read("README.md");
    let config = readme
        .split("```yaml\n")
        .filter_map(|block| block.split("```").next())
        .find(|block| block.contains("scrape_configs:"))
        .expect("the README has a scrape config");
    let folder = tools::folder("readme");
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    fs::write(folder.join("alerts.yaml"), dashboard::read("alerts.yaml")).unwrap();
    tools.check(&["check", "config", "prometheus.yml"], &folder, Stdio::null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_has_data() {
    let Some(tools) = tools() else { return };
    let folder = tools::folder("live");
    let millpond = Server::millpond(&folder, live::play().await);
    let prometheus = Server::prometheus(tools, &folder, &millpond);
    let dashboard = Dashboard::read();

    let mut empty = dashboard.queries();
    let mut untraced: Vec<_> = dashboard.queries().into_iter().filter(|query| query.has_exemplars).collect();
    assert!(!untraced.is_empty());
    let start = Instant::now();
    let mut tick = interval(Duration::from_millis(200));
    while !(empty.is_empty() && untraced.is_empty()) {
        let places = |queries: &[dashboard::Query]| {
            queries.iter().map(|query| query.place.clone()).collect::<Vec<_>>().join(", ")
        };
        assert!(
            start.elapsed() < DEADLINE,
            "no data: {}\nno exemplar of the client's trace: {}\n{}",
            places(&empty),
            places(&untraced),
            millpond.get("/metrics", &[]).await
        );
        tick.tick().await;
        // Held until Prometheus was asked: this one is under way.
        let _leaving = millpond.round().await;
        let mut still = Vec::new();
        for query in empty {
            // Series of zeros are there from the beginning: they tell nothing.
            if !prometheus.numbers(&fill(query.expression)).await.iter().any(|&number| number > 0.0) {
                still.push(query);
            }
        }
        empty = still;
        let mut still = Vec::new();
        for query in untraced {
            if !prometheus.traces(&fill(query.expression)).await.iter().any(|trace| trace == TRACE) {
                still.push(query);
            }
        }
        untraced = still;
    }

    for variable in dashboard.variables() {
        let values = prometheus.values(variable.label, &fill(variable.selector)).await;
        assert!(!values.is_empty(), "{} has no values", variable.name);
    }
    assert_eq!(prometheus.numbers("up{job=\"millpond\"}").await, [1.0]);
    let rules = prometheus.rules().await;
    assert_eq!(rules.len(), dashboard::alerts().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert!(["info", "warning", "critical"].contains(&text(&rule["labels"]["severity"])), "{rule}");
        for name in ["summary", "description"] {
            assert!(text(&rule["annotations"][name]).ends_with('.'), "{rule}");
        }
    }

    let page = folder.join("metrics.txt");
    fs::write(&page, millpond.get("/metrics", &[]).await).unwrap();
    tools.check(&["check", "metrics"], &folder, File::open(page).unwrap().into());
}
