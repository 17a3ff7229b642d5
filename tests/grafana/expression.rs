//! What an expression of Prometheus' query language asks for: metrics, and labels of each.

use std::collections::{BTreeMap, BTreeSet};

use millpond::telemetry::semconv::{Kind, METRICS, Metric};
use promql_parser::label::Matchers;
use promql_parser::parser::{self, Expr, LabelModifier};

/// Labels that Prometheus itself adds.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];
/// The metric that Prometheus itself writes: whether a target answers.
const UP: &str = "up";

/// What an expression asks for.
#[derive(Debug, Default)]
pub struct Asked {
    /// The series' names, with the labels that are asked of each.
    pub series: BTreeMap<String, BTreeSet<String>>,
    /// The labels that it groups by.
    pub groups: BTreeSet<String>,
}

impl Asked {
    /// Reads an expression.
    pub fn of(expression: &str) -> Result<Asked, String> {
        let mut asked = Asked::default();
        asked.walk(&parser::parse(expression)?, &BTreeSet::new())?;
        Ok(asked)
    }

    /// Complains about what no metric of millpond's has.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (series, labels) in &self.series {
            if series == UP {
                continue;
            }
            match metric(series) {
                None => complaints.push(format!("{series} is no metric of millpond's")),
                Some(metric) => complaints.extend(
                    labels
                        .iter()
                        .filter(|label| !has(&metric, series, label))
                        .map(|label| format!("{series} has no label {label}")),
                ),
            }
        }
        complaints
    }

    /// The metrics behind the series.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.series.keys().filter_map(|series| metric(series))
    }

    /// Collects; `around` are the labels that are asked of whatever is inside.
    fn walk(&mut self, expression: &Expr, around: &BTreeSet<String>) -> Result<(), String> {
        match expression {
            Expr::Aggregate(aggregate) => {
                let mut around = around.clone();
                if let Some(modifier) = &aggregate.modifier {
                    around.extend(self.group(modifier)?);
                }
                self.walk(&aggregate.expr, &around)
            }
            Expr::Binary(binary) => {
                let mut around = around.clone();
                if let Some(modifier) = &binary.modifier {
                    around
                        .extend(modifier.card.labels().into_iter().flat_map(|labels| labels.labels.clone()));
                    if let Some(matching) = &modifier.matching {
                        around.extend(matching.labels().labels.clone());
                    }
                }
                self.walk(&binary.lhs, &around)?;
                self.walk(&binary.rhs, &around)
            }
            Expr::Call(call) => call.args.args.iter().try_for_each(|argument| self.walk(argument, around)),
            Expr::Paren(paren) => self.walk(&paren.expr, around),
            Expr::Unary(unary) => self.walk(&unary.expr, around),
            Expr::Subquery(subquery) => self.walk(&subquery.expr, around),
            Expr::VectorSelector(vector) => self.select(vector.name.as_deref(), &vector.matchers, around),
            Expr::MatrixSelector(matrix) => {
                self.select(matrix.vs.name.as_deref(), &matrix.vs.matchers, around)
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
            Expr::Extension(_) => Err("an extension of the language".to_owned()),
        }
    }

    fn group(&mut self, modifier: &LabelModifier) -> Result<Vec<String>, String> {
        if !modifier.is_include() {
            return Err("`without` also keeps labels that nobody thought of".to_owned());
        }
        let labels = modifier.labels().labels.clone();
        self.groups.extend(labels.iter().cloned());
        Ok(labels)
    }

    fn select(
        &mut self,
        name: Option<&str>,
        matchers: &Matchers,
        around: &BTreeSet<String>,
    ) -> Result<(), String> {
        let name = name.ok_or("a selector without a name")?;
        let labels = self.series.entry(name.to_owned()).or_default();
        labels.extend(around.iter().cloned());
        labels.extend(matchers.matchers.iter().map(|matcher| matcher.name.clone()));
        Ok(())
    }
}

/// The metric that a series belongs to.
fn metric(series: &str) -> Option<Metric> {
    METRICS.iter().copied().find(|metric| {
        let rest = series.strip_prefix(&metric.prometheus_name());
        match metric.kind {
            Kind::Histogram(_) => matches!(rest, Some("_bucket" | "_sum" | "_count")),
            Kind::Counter | Kind::UpDownCounter => rest == Some(""),
        }
    })
}

fn has(metric: &Metric, series: &str, label: &str) -> bool {
    let bound = label == "le" && series.ends_with("_bucket");
    bound
        || OF_PROMETHEUS.contains(&label)
        || metric.attributes.iter().any(|attribute| attribute.replace('.', "_") == label)
}

#[test]
fn what_an_expression_asks_for_is_found_everywhere() {
    let asked = Asked::of(
        "sum by (a, le) (rate(x_bucket{b=\"1\"}[5m])) > 2 and on (c) max_over_time(sum(-y{d!~\"e\"})[1h:1m])",
    )
    .unwrap();
    let line = |(name, labels): (&String, &BTreeSet<String>)| {
        format!("{name}: {}", labels.iter().cloned().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(asked.series.iter().map(line).collect::<Vec<_>>(), ["x_bucket: a b c le", "y: c d"]);
    assert_eq!(asked.groups.iter().collect::<Vec<_>>(), ["a", "le"]);
}

#[test]
fn what_is_not_ours_is_told() {
    let complaints = |expression| Asked::of(expression).unwrap().complaints();
    assert!(complaints("sum by (millpond_repair, job) (millpond_repairs_total)").is_empty());
    assert!(complaints("sum by (le) (rate(millpond_overhead_duration_seconds_bucket[1m]))").is_empty());
    assert_eq!(complaints("millpond_repairs"), ["millpond_repairs is no metric of millpond's"]);
    assert_eq!(
        complaints("millpond_overhead_duration_seconds"),
        ["millpond_overhead_duration_seconds is no metric of millpond's"]
    );
    assert_eq!(complaints("millpond_repairs_total{le=\"1\"}"), ["millpond_repairs_total has no label le"]);
    assert_eq!(
        complaints("sum by (millpond_phase) (millpond_repairs_total)"),
        ["millpond_repairs_total has no label millpond_phase"]
    );
    assert!(Asked::of("sum(").is_err());
    assert!(Asked::of("{job=\"millpond\"}").is_err());
    assert!(Asked::of("sum without (job) (millpond_repairs_total)").is_err());
}
