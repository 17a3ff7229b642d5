//! The filter: a recorded upstream body in, the clean downstream body out.
//!
//! It is how a user finds out what is wrong with a provider's stream, and how recordings are tested. The
//! result depends on the bytes alone: minted ids and times are constant.

use std::io::{self, Read, Write};

use crate::api::chat_completions::{ErrorBody, ReasoningField};
use crate::api::{Api, Encoder};
use crate::dialect::{AnyDialect, framer};
use crate::event::{Event, FaultCode, Repairs, Usage};
use crate::json;
use crate::normalize::Birth;
use crate::pipeline::Pipeline;

/// What the provider of a recording is called.
const PROVIDER: &str = "upstream";

/// What to do with a recording.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The dialect with the provider's quirks.
    pub dialect: AnyDialect,
    /// What the client speaks.
    pub api: Api,
    /// Send the usage chunk, as if the client had asked for it.
    pub include_usage: bool,
    /// Write one `chat.completion` object instead of a stream.
    pub object: bool,
    /// The longest frame in bytes.
    pub frame_limit: usize,
}

/// How a recording ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// `None` if the answer is complete, else why not.
    pub fault: Option<FaultCode>,
    /// What was mended.
    pub repairs: Repairs,
    /// The tokens that were reported.
    pub usage: Option<Usage>,
}

impl Report {
    /// The report as a JSON object on one line.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::from(b"{\"end\":");
        json::write_string(self.fault.map_or("complete", FaultCode::as_str), &mut out);
        out.extend_from_slice(b",\"repairs\":{");
        for (at, (repair, count)) in self.repairs.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json::write_string(repair.as_str(), &mut out);
            out.push(b':');
            json::write_number(count, &mut out);
        }
        out.extend_from_slice(b"},\"usage\":");
        match &self.usage {
            Some(usage) => usage.write(&mut out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}\n");
        out
    }
}

/// Reads the body to its end and writes what the client would get.
pub fn normalize(options: Options, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<Report> {
    let dialect = options.dialect.as_dialect();
    let birth = Birth { id: "recording".to_owned(), model: "unknown".to_owned(), created: 0 };
    let framer = framer(dialect, options.frame_limit);
    let mut pipeline = Pipeline::new(framer, dialect.decoder(""), dialect.quirks(), birth);
    let mut client = Client::new(options);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = input.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        pipeline.push(buffer.get(..length).unwrap_or_default(), &mut |event: &Event<'_>| client.event(event));
        output.write_all(&std::mem::take(&mut client.out))?;
    }
    pipeline.finish(None, &mut |event: &Event<'_>| client.event(event));
    client.finish();
    output.write_all(&client.out)?;
    output.flush()?;
    Ok(Report { fault: client.fault, repairs: pipeline.repairs().clone(), usage: pipeline.usage() })
}

/// What a client would get, and how the answer ended.
struct Client {
    encoder: Box<dyn Encoder>,
    options: Options,
    out: Vec<u8>,
    fault: Option<FaultCode>,
}

impl Client {
    fn new(options: Options) -> Client {
        let reasoning = ReasoningField::default();
        let mut encoder = options.api.encoder(!options.object, options.include_usage, reasoning);
        encoder.begin(PROVIDER);
        Client { encoder, options, out: Vec::new(), fault: None }
    }

    fn event(&mut self, event: &Event<'_>) {
        if let Event::Fault(fault) = event {
            self.fault = Some(fault.code);
            if self.options.object {
                self.options.api.write_error(&ErrorBody::of_fault(fault, PROVIDER), &mut self.out);
            }
        }
        self.encoder.event(event, &mut self.out);
    }

    fn finish(&mut self) {
        if self.options.object {
            self.out.push(b'\n');
        }
    }
}
