//! The fleet's Prometheus, asked as Grafana asks it.
//! Never reads what a worker says directly: what Prometheus has not scraped does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::patience::wait_until;
use super::stack::Container;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A few scrapes, and as many looks at the names.
const SCRAPED_WITHIN: Duration = Duration::from_secs(120);

/// The port of every worker.
const METRICS: u16 = 9464;

/// How to ask it.
pub(crate) struct Prometheus {
    url: String,
    agent: ureq::Agent,
}

/// One series and its value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    pub(crate) fn at(url: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WITHIN))
            .http_status_as_error(false)
            .build();
        Self {
            url,
            agent: config.into(),
        }
    }

    /// What a query says now.
    pub(crate) fn ask(&self, query: &str) -> anyhow::Result<Vec<Sample>> {
        let asked = format!("{}/api/v1/query", self.url);
        let mut response = self.agent.get(asked).query("query", query).call()?;
        let text = response.body_mut().read_to_string()?;
        read(&text).with_context(|| format!("Prometheus does not answer `{query}`"))
    }

    /// What a query says of each scraped instance.
    pub(crate) fn by_instance(&self, query: &str) -> anyhow::Result<BTreeMap<String, f64>> {
        let samples = self.ask(query)?.into_iter();
        samples
            .map(|sample| {
                let instance = sample
                    .labels
                    .get("instance")
                    .context("a sample has an instance")?;
                Ok((instance.clone(), sample.value))
            })
            .collect()
    }

    /// The only value of a query.
    pub(crate) fn number(&self, query: &str) -> anyhow::Result<f64> {
        match self.ask(query)?.as_slice() {
            [sample] => Ok(sample.value),
            samples => bail!("`{query}` gave {} series, not one", samples.len()),
        }
    }

    /// From now on exactly these replicas of a job are scraped: found by name, none listed anywhere.
    pub(crate) fn wait_scraped(&self, job: &str, replicas: &[Container]) -> anyhow::Result<()> {
        let expected = instances(replicas);
        let what = format!("{} {job} scraped", expected.len());
        // What was scraped before now may tell of a time before what was done to them.
        let begun = self.number("time()")?;
        let up = format!("up{{job=\"{job}\"}} == 1 and timestamp(up{{job=\"{job}\"}}) > {begun}");
        wait_until(&what, SCRAPED_WITHIN, || {
            let up = self.by_instance(&up)?;
            let scraped: BTreeSet<String> = up.into_keys().collect();
            if scraped != expected {
                bail!("Prometheus scrapes {scraped:?}, and there are {expected:?}");
            }
            Ok(Some(()))
        })
    }
}

/// What Prometheus calls them.
pub(crate) fn instances(replicas: &[Container]) -> BTreeSet<String> {
    let named = replicas
        .iter()
        .map(|replica| format!("{}:{METRICS}", replica.address));
    named.collect()
}

fn read(text: &str) -> anyhow::Result<Vec<Sample>> {
    let answer: Answer = serde_json::from_str(text)?;
    if let Some(error) = answer.error {
        bail!(error);
    }
    let series = match answer.data.context("an answer has data")? {
        Data::Vector(series) => series,
        Data::Scalar(value) => vec![Series {
            metric: BTreeMap::new(),
            value,
        }],
    };
    series
        .into_iter()
        .map(|Series { metric, value }| {
            Ok(Sample {
                labels: metric,
                value: value.1.parse()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_scalars_and_refusals_are_read() {
        let vector = r#"{"status": "success", "data": {"resultType": "vector", "result":
            [{"metric": {"instance": "a:1"}, "value": [1.5, "NaN"]}]}}"#;
        let samples = read(vector).unwrap();
        assert_eq!(samples[0].labels["instance"], "a:1");
        assert!(samples[0].value.is_nan());
        let scalar = r#"{"status": "success", "data": {"resultType": "scalar", "result": [1.5, "2"]}}"#;
        assert!((read(scalar).unwrap()[0].value - 2.0).abs() < f64::EPSILON);
        let refusal = r#"{"status": "error", "errorType": "bad_data", "error": "parse error"}"#;
        assert_eq!(read(refusal).unwrap_err().to_string(), "parse error");
    }
}
