//! Where else a run is told of while it goes on: TensorBoard's event files, an MLflow server.

use crate::output;
use anyhow::{Context, Result, anyhow, bail};
use cygnet_training::events::Events;
use cygnet_training::fit::{Epoch, Settings};
use cygnet_training::project::Track;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds until a server that does not answer is given up.
const PATIENCE: u64 = 10;
/// Longest value of a parameter that MLflow takes.
const LONGEST: usize = 500;

/// Who is told.
pub struct Tracker {
    events: Option<Events>,
    mlflow: Option<Mlflow>,
}

impl Tracker {
    /// Those that a project asks for, of a stage in a folder; `goes_on` says that the run was interrupted before.
    pub fn begin(
        track: &Track,
        (project, stage): (&str, &str),
        folder: &Path,
        settings: &Settings,
        goes_on: bool,
    ) -> Result<Self> {
        let events = track
            .tensorboard
            .then(|| Events::create(folder, goes_on))
            .transpose()?;
        let mlflow = track.mlflow.as_ref().map(|server| {
            let experiment = track.experiment.as_deref().unwrap_or(project);
            let begun = Mlflow::begin(server, experiment, stage, folder, settings, goes_on);
            begun.with_context(|| format!("[track] mlflow = {server:?}"))
        });
        Ok(Self {
            events,
            mlflow: mlflow.transpose()?,
        })
    }

    /// Tells of an epoch. A server that has gone away does not end a training.
    pub fn epoch(
        &mut self,
        epoch: &Epoch,
        right: bool,
    ) -> Result<(), cygnet_training::TrainingError> {
        let mut values = vec![
            ("loss/training", epoch.train_loss),
            ("loss/validation", epoch.validation_loss),
            ("rate", epoch.rate),
        ];
        if right {
            values.push(("right/validation", epoch.validation_accuracy));
        }
        if let Some(events) = &mut self.events {
            events.scalars(epoch.epoch, &values)?;
        }
        if let Some(run) = &self.mlflow
            && let Err(error) = run.metrics(epoch.epoch, &values)
        {
            output::note(&format!("MLflow is told nothing more: {error:#}"));
            self.mlflow = None;
        }
        Ok(())
    }

    /// The run is at its end.
    pub fn end(&self, epochs: usize, right: f32) {
        let Some(run) = &self.mlflow else {
            return;
        };
        let told = run
            .metrics(epochs, &[("right/test", right)])
            .and_then(|()| run.finish());
        if let Err(error) = told {
            output::note(&format!("MLflow was not told of the end: {error:#}"));
        }
    }
}

/// A run of an MLflow server.
#[derive(Serialize, Deserialize)]
struct Mlflow {
    server: String,
    run: String,
}

fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

/// An answer of the REST API, or why there is none.
fn answer(request: minreq::Request, what: &str) -> Result<(u16, Value)> {
    let response = request.with_timeout(PATIENCE).send().map_err(|e| {
        anyhow!("the server does not answer ({e}): start it, or take [track] mlflow out")
    })?;
    let status = u16::try_from(response.status_code).unwrap_or_default();
    let text = response.as_str().unwrap_or_default();
    let value = serde_json::from_str(text)
        .map_err(|_| anyhow!("{what}: the answer ({status}) is not that of an MLflow server"))?;
    Ok((status, value))
}

impl Mlflow {
    fn begin(
        server: &str,
        experiment: &str,
        stage: &str,
        folder: &Path,
        settings: &Settings,
        goes_on: bool,
    ) -> Result<Self> {
        let server = server.trim_end_matches('/').to_owned();
        let path = folder.join("mlflow.json");
        let kept = std::fs::read(&path).ok().filter(|_| goes_on);
        let kept = kept.and_then(|t| serde_json::from_slice::<Self>(&t).ok());
        if let Some(run) = kept.filter(|r| r.server == server) {
            let again = json!({ "run_id": run.run, "status": "RUNNING" });
            run.post("runs/update", &again)?;
            return Ok(run);
        }
        let mut run = Self {
            server,
            run: String::new(),
        };
        let experiment = run.experiment(experiment)?;
        let begin = milliseconds();
        let made = run.post(
            "runs/create",
            &json!({
                "experiment_id": experiment,
                "run_name": stage,
                "start_time": begin,
                "tags": [{ "key": "cygnet.version", "value": env!("CARGO_PKG_VERSION") }],
            }),
        )?;
        let id = made["run"]["info"]["run_id"].as_str();
        run.run = id.context("the server gave the run no id")?.to_owned();
        let Value::Object(settings) = serde_json::to_value(settings)? else {
            bail!("internal: settings are no table");
        };
        let parameter = |(key, value): (&String, &Value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let text: String = text.chars().take(LONGEST).collect();
            json!({ "key": key, "value": text })
        };
        let parameters: Vec<Value> = settings.iter().map(parameter).collect();
        run.post(
            "runs/log-batch",
            &json!({ "run_id": run.run, "params": parameters }),
        )?;
        std::fs::write(&path, serde_json::to_vec(&run)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(run)
    }

    /// The id of an experiment, which is made if there is none of the name.
    fn experiment(&self, name: &str) -> Result<String> {
        let url = format!("{}/api/2.0/mlflow/experiments/search", self.server);
        let filter = format!("name = '{}'", name.replace('\'', ""));
        let body = json!({ "filter": filter, "max_results": 1 }).to_string();
        let request = minreq::post(url)
            .with_header("Content-Type", "application/json")
            .with_body(body);
        let (status, found) = answer(request, "experiments/search")?;
        if status == 200
            && let Some(id) = found["experiments"][0]["experiment_id"].as_str()
        {
            return Ok(id.to_owned());
        }
        let made = self.post("experiments/create", &json!({ "name": name }))?;
        let id = made["experiment_id"].as_str();
        Ok(id
            .context("the server gave the experiment no id")?
            .to_owned())
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value> {
        let request = minreq::post(format!("{}/api/2.0/mlflow/{call}", self.server))
            .with_header("Content-Type", "application/json")
            .with_body(body.to_string());
        let (status, value) = answer(request, call)?;
        if status != 200 {
            bail!(
                "{call}: {status}: {}",
                value["message"].as_str().unwrap_or("no reason given")
            );
        }
        Ok(value)
    }

    fn metrics(&self, step: usize, values: &[(&str, f32)]) -> Result<()> {
        let now = milliseconds();
        let metric = |(key, value): &(&str, f32)| json!({ "key": key, "value": value, "timestamp": now, "step": step });
        let metrics: Vec<Value> = values.iter().map(metric).collect();
        self.post(
            "runs/log-batch",
            &json!({ "run_id": self.run, "metrics": metrics }),
        )?;
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        let end = json!({ "run_id": self.run, "status": "FINISHED", "end_time": milliseconds() });
        self.post("runs/update", &end)?;
        Ok(())
    }
}
