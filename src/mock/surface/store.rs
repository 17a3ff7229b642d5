//! Files and batches, in memory: the last of them.

use std::sync::{Mutex, PoisonError};

use http::Method;

use super::super::json::{Json, Object};
use super::{Ask, Said};

/// How many files and batches are remembered.
const REMEMBERED: usize = 100;
/// How long all files together may be, in bytes.
const BYTES_AT_MOST: usize = 64 << 20;
/// When everything was made.
const CREATED: u64 = 1_700_000_000;

/// What clients have made.
#[derive(Debug, Default)]
pub struct Store(Mutex<Things>);

#[derive(Debug, Default)]
struct Things {
    files: Vec<File>,
    batches: Vec<Batch>,
    made: u64,
}

#[derive(Debug)]
struct File {
    id: String,
    name: String,
    purpose: String,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Batch {
    id: String,
    input: String,
    endpoint: String,
    status: &'static str,
}

impl File {
    fn described(&self) -> Object {
        Object::default()
            .with("id", self.id.as_str())
            .with("object", "file")
            .with("bytes", self.bytes.len() as u64)
            .with("created_at", CREATED)
            .with("filename", self.name.as_str())
            .with("purpose", self.purpose.as_str())
            .with("status", "processed")
    }
}

impl Batch {
    fn described(&self) -> Object {
        Object::default()
            .with("id", self.id.as_str())
            .with("object", "batch")
            .with("endpoint", self.endpoint.as_str())
            .with("input_file_id", self.input.as_str())
            .with("completion_window", "24h")
            .with("status", self.status)
            .with("created_at", CREATED)
    }
}

fn list(things: impl Iterator<Item = Object>) -> Object {
    let data: Vec<Json> = things.map(Json::from).collect();
    Object::default().with("object", "list").with("data", data).with("has_more", false)
}

impl Things {
    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{:04}", self.made)
    }
}

impl Store {
    /// Answers a request below `files`.
    pub(super) fn files(&self, method: &Method, rest: &[&str], ask: &Ask<'_>) -> Option<Said> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |things: &Things, id: &str| things.files.iter().position(|file| file.id == id);
        match (method, rest) {
            (&Method::POST, []) => {
                let (name, bytes) = ask.form.file()?;
                let id = things.name("file");
                let purpose = ask.text("purpose").unwrap_or_default();
                let file = File { id, name: name.to_owned(), purpose, bytes: bytes.to_vec() };
                let described = file.described();
                things.files.push(file);
                let held = |things: &Things| things.files.iter().map(|file| file.bytes.len()).sum::<usize>();
                while things.files.len() > REMEMBERED || held(&things) > BYTES_AT_MOST {
                    things.files.remove(0);
                }
                Some(Said::json(described))
            }
            (&Method::GET, []) => Some(Said::json(list(things.files.iter().map(File::described)))),
            (&Method::GET, [id]) => {
                let file = things.files.get(place(&things, id)?)?;
                Some(Said::json(file.described()))
            }
            (&Method::GET, [id, "content"]) => {
                let file = things.files.get(place(&things, id)?)?;
                Some(Said { kind: "application/octet-stream", body: file.bytes.clone() })
            }
            (&Method::DELETE, [id]) => {
                let at = place(&things, id)?;
                let file = things.files.remove(at);
                let deleted = Object::default().with("id", file.id).with("object", "file");
                Some(Said::json(deleted.with("deleted", true)))
            }
            (_, _) => None,
        }
    }

    /// Answers a request below `batches`.
    pub(super) fn batches(&self, method: &Method, rest: &[&str], ask: &Ask<'_>) -> Option<Said> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (method, rest) {
            (&Method::POST, []) => {
                let (input, endpoint) = (ask.text("input_file_id")?, ask.text("endpoint")?);
                let batch = Batch { id: things.name("batch"), input, endpoint, status: "validating" };
                let described = batch.described();
                things.batches.push(batch);
                if things.batches.len() > REMEMBERED {
                    things.batches.remove(0);
                }
                Some(Said::json(described))
            }
            (&Method::GET, []) => Some(Said::json(list(things.batches.iter().map(Batch::described)))),
            (&Method::GET, [id]) => {
                let batch = things.batches.iter().find(|batch| batch.id == *id)?;
                Some(Said::json(batch.described()))
            }
            (&Method::POST, [id, "cancel"]) => {
                let batch = things.batches.iter_mut().find(|batch| batch.id == *id)?;
                batch.status = "cancelling";
                Some(Said::json(batch.described()))
            }
            (_, _) => None,
        }
    }
}
