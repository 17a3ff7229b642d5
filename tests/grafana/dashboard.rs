//! The dashboard and the alerts as the tests see them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder with the dashboard and the alerts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana")
}

/// A file of that folder.
pub fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The dashboard.
pub struct Dashboard(Value);

/// A panel that asks for something.
pub struct Panel<'a> {
    pub title: &'a str,
    pub json: &'a Value,
}

/// One query of a panel.
pub struct Query<'a> {
    /// The panel's title and the query's letter.
    pub place: String,
    /// As written, with variables.
    pub expression: &'a str,
    /// How Grafana names what comes back.
    pub legend: Option<&'a str>,
    /// Whether exemplars are shown beside it.
    pub has_exemplars: bool,
}

/// A variable that asks Prometheus for its values.
pub struct Variable<'a> {
    pub name: &'a str,
    /// The selector in `label_values(selector, label)`.
    pub selector: &'a str,
    /// The label in `label_values(selector, label)`.
    pub label: &'a str,
}

impl Dashboard {
    pub fn read() -> Dashboard {
        Dashboard(serde_json::from_str(&read("dashboard.json")).expect("the dashboard is JSON"))
    }

    /// The dashboard's own fields.
    pub fn field(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// All panels, rows too, in the order of the file.
    pub fn all(&self) -> &[Value] {
        list(&self.0["panels"])
    }

    /// The panels that ask for something.
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let panels = self.all().iter().filter(|panel| panel["type"] != "row");
        panels.map(|json| Panel { title: text(&json["title"]), json }).collect()
    }

    /// The queries of all panels.
    pub fn queries(&self) -> Vec<Query<'_>> {
        self.panels().iter().flat_map(Panel::queries).collect()
    }

    /// The variables that ask Prometheus for their values.
    pub fn variables(&self) -> Vec<Variable<'_>> {
        let all = list(&self.0["templating"]["list"]).iter();
        all.filter(|variable| variable["type"] == "query")
            .map(|variable| {
                let query = text(&variable["query"]["query"]);
                let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
                let (selector, label) = inner
                    .and_then(|inner| inner.rsplit_once(", "))
                    .unwrap_or_else(|| panic!("{query} is not label_values(selector, label)"));
                Variable { name: text(&variable["name"]), selector, label }
            })
            .collect()
    }

    /// The names of all variables.
    pub fn variable_names(&self) -> BTreeSet<&str> {
        list(&self.0["templating"]["list"]).iter().map(|variable| text(&variable["name"])).collect()
    }
}

impl<'a> Panel<'a> {
    pub fn queries(&self) -> Vec<Query<'a>> {
        let queries = list(&self.json["targets"]).iter();
        queries
            .map(|query| Query {
                place: format!("{} {}", self.title, text(&query["refId"])),
                expression: text(&query["expr"]),
                legend: query["legendFormat"].as_str(),
                has_exemplars: query["exemplar"] == true,
            })
            .collect()
    }
}

/// Puts values in the place of variables, as Grafana does: everything is chosen, and ranges are short.
pub fn fill(expression: &str) -> String {
    let variables = [
        ("$__rate_interval", "20s"),
        ("$__range", "5m"),
        ("$service", "millpond"),
        ("$provider", ".*"),
        ("$model", ".*"),
    ];
    variables.iter().fold(expression.to_owned(), |filled, (name, value)| filled.replace(name, value))
}

/// One alert, as far as the tests read the file: names and blocks of text.
#[derive(Debug)]
pub struct Alert {
    pub name: String,
    pub expression: String,
    /// The labels that its texts name.
    pub labels: BTreeSet<String>,
}

/// The alerts. `promtool` reads the file as YAML; here, it is read by its lines.
pub fn alerts() -> Vec<Alert> {
    let file = read("alerts.yaml");
    let mut alerts: Vec<Alert> = Vec::new();
    let mut lines = file.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.trim_start().strip_prefix("- alert: ") {
            let (name, expression) = (name.to_owned(), String::new());
            alerts.push(Alert { name, expression, labels: BTreeSet::new() });
        }
        let Some(alert) = alerts.last_mut() else { continue };
        alert.labels.extend(names_after(line, "$labels."));
        if line.trim_start().starts_with("expr:") {
            assert!(line.ends_with("expr: |"), "{}: the expression is not a block of text", alert.name);
            let indent = indent(line);
            while let Some(more) = lines.next_if(|next| self::indent(next) > indent) {
                alert.expression.push_str(more.trim_start());
                alert.expression.push('\n');
            }
        }
    }
    alerts
}

/// The names that follow a mark: `$labels.job` has `job` after `$labels.`.
pub fn names_after(text: &str, mark: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    text.split(mark).skip(1).map(name).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}
