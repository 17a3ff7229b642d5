//! What a request gets: the manner and the fault that it chose, and the answer with both applied.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::answer::Answer;
use super::damage;
use super::fault::{Bytes, Course, Fault, Form, Frames, Kind, Refusal, Reply};
use super::ledger::Ticket;
use super::manner::{Envelope, Manner, Speech, Table};
use super::manners::{self, CHAT};
use super::native::Native;
use super::refuse::{self, LIMITS, PAGE, Problem, retry_after};
use super::request::Ask;
use super::script::{Broken, ResetSwitch, Script, Step};
use super::texts::TEXTS;
use super::wire;

/// How long a silence lasts.
const SILENCE: Duration = Duration::from_secs(120);

/// The pause between the frames of a slow answer.
const SLOW: Duration = Duration::from_millis(250);

/// Time for a client to read what was sent before a reset, which discards what is on the way.
const BEFORE_RESET: Duration = Duration::from_millis(50);

/// The header that chooses a fault.
pub const FAULT_HEADER: &str = "x-mock-fault";

/// What a request chose.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The manner.
    pub manner: Manner,
    /// The fault.
    pub fault: Option<Fault>,
}

impl Part {
    /// Reads a model's name: `demo`, `demo/<manner>`, `demo/<fault>` or `demo/<manner>/<fault>`,
    /// where `demo/` may be left out.
    pub fn of_model(model: &str) -> Option<Self> {
        let path = match model.strip_prefix("demo") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
            _ => model,
        };
        if path.is_empty() {
            return Some(Self::clean(manners::DEMO));
        }
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let fault = |name| Fault::find(name).map(Some);
        match (manners::find(first), rest) {
            (Some(manner), "") => Some(Self::clean(manner)),
            (Some(manner), rest) => fault(rest).map(|fault| Self { manner, fault }),
            (None, "") => fault(first).map(|fault| Self { manner: manners::DEMO, fault }),
            (None, _) => None,
        }
    }

    /// Reads a model's name in a dialect of its own: any name, or `<any name>/<fault>`; below `demo/`
    /// only the dialect's own name is known.
    pub fn of_native(manner: Manner, model: &str) -> Option<Self> {
        let (name, last) = model.rsplit_once('/').unwrap_or((model, ""));
        let fault = Fault::find(last);
        let name = if fault.is_some() { name } else { model };
        let known = match name.strip_prefix("demo/") {
            Some(rest) => rest == manner.name,
            None => !name.is_empty(),
        };
        known.then_some(Self { manner, fault })
    }

    fn clean(manner: Manner) -> Self {
        Self { manner, fault: None }
    }

    fn kind(&self) -> Option<Kind> {
        self.fault.map(|fault| fault.kind)
    }

    fn number(&self) -> usize {
        self.fault.map_or(0, |fault| fault.number)
    }
}

/// Answers a chat-completions request.
pub async fn chat(
    headers: &HeaderMap,
    body: &[u8],
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    say(headers, Ask::read(body), CHAT, reset, ticket).await
}

/// Answers a request for the continuation of a text.
pub async fn texts(
    headers: &HeaderMap,
    body: &[u8],
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    say(headers, Ask::read_prompt(body), TEXTS, reset, ticket).await
}

/// Answers in the manner that the model names, in this speech.
async fn say(
    headers: &HeaderMap,
    ask: Option<Ask>,
    speech: Speech,
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    let Some(ask) = ask else {
        return Ok(problem(Problem::of_status(400), ticket));
    };
    let Some(mut part) = Part::of_model(&ask.model) else {
        let message = format!("The model `{}` does not exist.", ask.model);
        let missing = Problem { message: &message, kind: "invalid_request_error", ..Problem::of_status(404) };
        return Ok(problem(missing, ticket));
    };
    part.manner.speech = speech;
    deliver(headers, &ask, part, reset, ticket).await
}

/// Answers a request in a dialect of its own.
pub async fn native(
    native: &Native,
    parts: &Parts,
    body: &[u8],
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    let manner = native.manner;
    let ask = match native.read(parts, body) {
        Ok(ask) => ask,
        Err(refused) => return Ok(refuse_as(refused.problem(), &manner, ticket)),
    };
    let Some(part) = Part::of_native(manner, &ask.model) else {
        let message = format!("model: {}", ask.model);
        let missing = Problem { message: &message, ..Problem::of_status(404) };
        return Ok(refuse_as(missing, &manner, ticket));
    };
    deliver(&parts.headers, &ask, part, reset, ticket).await
}

/// An error in the manner's envelope.
fn refuse_as(problem: Problem<'_>, manner: &Manner, ticket: Ticket) -> Response<Script> {
    let mut response = Response::new(Script::whole(problem.write(manner.envelope), ticket));
    set_json_headers(&mut response, manner);
    set_status(&mut response, problem.status);
    set_error_type(&mut response, manner);
    response
}

/// Answers with one piece of this type, or with the fault that the header names, or else with this one, as far as it
/// makes sense for that.
pub async fn piece(
    kind: &'static str,
    body: Vec<u8>,
    headers: &HeaderMap,
    fault: Option<Fault>,
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    let named = headers.get(FAULT_HEADER).map(|name| name.to_str().ok().and_then(Fault::find));
    let mut response = match named.unwrap_or(fault).map(|fault| fault.kind) {
        Some(Kind::Course(Course::StallHeaders)) => {
            tokio::time::sleep(SILENCE).await;
            ticket.finish();
            return Err(Broken);
        }
        Some(Kind::Reply(Reply::Refuse(refusal))) => return Ok(refuse(refusal, &manners::DEMO, ticket)),
        Some(Kind::Course(course)) => Response::new(halves(course, &body, reset, ticket)),
        Some(Kind::Reply(_) | Kind::Habit(_) | Kind::Frames(_) | Kind::Bytes(_)) | None => {
            Response::new(Script::whole(body, ticket))
        }
    };
    set_type(&mut response, kind);
    Ok(response)
}

/// A piece in two halves, with a fault between them.
fn halves(course: Course, body: &[u8], reset: ResetSwitch, ticket: Ticket) -> Script {
    let halves = body.split_at(body.len() / 2);
    let writes = [halves.0, halves.1].map(<[u8]>::to_vec);
    Script::chunked(act(course, 1, writes.into()), reset, ticket)
}

/// Answers with the fault that the header names, or else the model.
async fn deliver(
    headers: &HeaderMap,
    ask: &Ask,
    mut part: Part,
    reset: ResetSwitch,
    ticket: Ticket,
) -> Result<Response<Script>, Broken> {
    if let Some(name) = headers.get(FAULT_HEADER) {
        part.fault = name.to_str().ok().and_then(Fault::find);
        if part.fault.is_none() {
            let unknown = Problem { message: "The mock has no such fault.", ..Problem::of_status(400) };
            return Ok(problem(unknown, ticket));
        }
    }
    if part.kind() == Some(Kind::Course(Course::StallHeaders)) {
        tokio::time::sleep(SILENCE).await;
        ticket.finish();
        return Err(Broken);
    }
    Ok(respond(ask, part, reset, ticket))
}

/// An error in OpenAI's envelope.
pub fn problem(problem: Problem<'_>, ticket: Ticket) -> Response<Script> {
    let body = Script::whole(problem.write(Envelope::OpenAi), ticket);
    let mut response = Response::new(body);
    set_status(&mut response, problem.status);
    set_type(&mut response, "application/json");
    response
}

fn respond(ask: &Ask, mut part: Part, reset: ResetSwitch, ticket: Ticket) -> Response<Script> {
    match part.kind() {
        Some(Kind::Reply(reply)) => return other(reply, ask, &part.manner, ticket),
        Some(Kind::Habit(habit)) => damage::bend(habit, &mut part.manner),
        Some(Kind::Frames(_) | Kind::Bytes(_) | Kind::Course(_)) | None => {}
    }
    let mut answer = Answer::compose(ask, part.manner.means());
    if !ask.stream {
        return completion(&answer, &part, reset, ticket);
    }
    if part.kind() == Some(Kind::Frames(Frames::Surrogate)) {
        damage::split_pairs(&mut answer);
    }
    let steps = steps(&answer, &part, ask.include_usage);
    let mut response = Response::new(Script::chunked(steps, reset, ticket));
    set_headers(&mut response, part.manner.headers);
    response
}

/// A completion, which faults in the bytes, the frames and the course of sending reach only so
/// far as they make sense for one piece of JSON.
fn completion(answer: &Answer, part: &Part, reset: ResetSwitch, ticket: Ticket) -> Response<Script> {
    let body = (part.manner.speech.whole)(answer, &part.manner).write(part.manner.hand);
    let Some(Kind::Course(course)) = part.kind() else {
        let mut response = Response::new(Script::whole(body, ticket));
        set_json_headers(&mut response, &part.manner);
        return response;
    };
    let mut response = Response::new(halves(course, body.as_bytes(), reset, ticket));
    set_json_headers(&mut response, &part.manner);
    response
}

/// The steps of a stream.
pub fn steps(answer: &Answer, part: &Part, asked: bool) -> Vec<Step> {
    let (manner, number) = (&part.manner, part.number());
    let mut frames = (manner.speech.stream)(answer, manner, asked);
    if let Some(Kind::Frames(fault)) = part.kind() {
        damage::damage(fault, number, manner, &mut frames);
    }
    let mut writes = wire::write(&frames, manner.wire);
    let after = match part.kind() {
        Some(Kind::Bytes(Bytes::CutHalf)) => number.saturating_sub(1),
        Some(Kind::Bytes(_)) => usize::MAX,
        Some(Kind::Course(_) | Kind::Frames(_) | Kind::Habit(_) | Kind::Reply(_)) | None => number,
    };
    let position = damage::position(&frames, after);
    match part.kind() {
        Some(Kind::Bytes(fault)) => wire::damage(fault, number, position, &mut writes),
        Some(Kind::Course(course)) => return act(course, position, writes),
        Some(Kind::Frames(_) | Kind::Habit(_) | Kind::Reply(_)) | None => {}
    }
    written(writes).collect()
}

fn written(writes: Vec<Vec<u8>>) -> impl Iterator<Item = Step> {
    writes.into_iter().map(|bytes| Step::Write(bytes.into()))
}

/// The steps where the fault is in the course of sending.
fn act(course: Course, position: usize, mut writes: Vec<Vec<u8>>) -> Vec<Step> {
    let end: &[Step] = match course {
        Course::Slow => {
            let pause = || Step::Wait(SLOW);
            return written(writes).flat_map(|step| [pause(), step]).collect();
        }
        Course::HangComments => return vec![Step::Comments],
        Course::StallFirst | Course::StallHeaders => return vec![Step::Wait(SILENCE), Step::Abort],
        Course::AbortAfter => &[Step::Abort],
        Course::ResetAfter => &[Step::Wait(BEFORE_RESET), Step::Reset],
        Course::Stall => &[Step::Wait(SILENCE), Step::Abort],
    };
    writes.truncate(position);
    written(writes).chain(end.iter().cloned()).collect()
}

/// An answer in place of a stream.
fn other(reply: Reply, ask: &Ask, manner: &Manner, ticket: Ticket) -> Response<Script> {
    let json = |body: String, ticket| {
        let mut response = Response::new(Script::whole(body, ticket));
        set_json_headers(&mut response, manner);
        response
    };
    match reply {
        Reply::Refuse(refusal) => refuse(refusal, manner, ticket),
        Reply::Error200 => json(Problem::of_status(500).write(manner.envelope), ticket),
        Reply::Json => {
            let answer = Answer::compose(ask, manner.means());
            json((manner.speech.whole)(&answer, manner).write(manner.hand), ticket)
        }
        Reply::Html200 => {
            let mut response = Response::new(Script::whole(PAGE, ticket));
            set_type(&mut response, "text/html; charset=utf-8");
            response
        }
        Reply::Empty => {
            let mut response = Response::new(Script::whole("", ticket));
            set_headers(&mut response, manner.headers);
            response
        }
    }
}

fn refuse(refusal: Refusal, manner: &Manner, ticket: Ticket) -> Response<Script> {
    let (body, kind) = match refusal.form {
        Form::Envelope => {
            let problem = Problem::of_status(refusal.status);
            (problem.write(manner.envelope), "application/json")
        }
        Form::Html => (PAGE.to_owned(), "text/html; charset=utf-8"),
        Form::Text => ("upstream connect error\n".to_owned(), "text/plain"),
        Form::Empty => (String::new(), ""),
    };
    let mut response = Response::new(Script::whole(body, ticket));
    set_headers(&mut response, manner.headers);
    set_type(&mut response, kind);
    set_status(&mut response, refusal.status);
    set_error_type(&mut response, manner);
    if let Some(value) = retry_after(refusal.retry, SystemTime::now())
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(RETRY_AFTER, value);
        set_headers(&mut response, LIMITS);
    }
    response
}

fn set_status(response: &mut Response<Script>, status: u16) {
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
}

fn set_error_type(response: &mut Response<Script>, manner: &Manner) {
    if manner.envelope == Envelope::Aws {
        let word = HeaderValue::from_static(refuse::aws(response.status().as_u16()));
        response.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), word);
    }
}

fn set_headers(response: &mut Response<Script>, headers: Table) {
    for (name, value) in headers {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

fn set_json_headers(response: &mut Response<Script>, manner: &Manner) {
    set_headers(response, manner.headers);
    set_type(response, "application/json");
}

fn set_type(response: &mut Response<Script>, kind: &'static str) {
    let headers = response.headers_mut();
    match kind {
        "" => headers.remove(CONTENT_TYPE),
        kind => headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind)),
    };
}

#[cfg(test)]
mod tests {
    use super::super::fault;
    use super::super::request::Tool;
    use super::*;

    fn sent(steps: &[Step]) -> Vec<u8> {
        let writes = steps.iter().filter_map(|step| match step {
            Step::Write(bytes) => Some(bytes.as_ref()),
            _ => None,
        });
        writes.collect::<Vec<_>>().concat()
    }

    fn answered(part: Part, calls: bool) -> Vec<Step> {
        let tool = Tool { name: "f".to_owned(), parameters: serde_json::json!({"properties": {"city": {}}}) };
        let ask = Ask {
            user: "hello".to_owned(),
            candidates: 1,
            include_usage: true,
            calls: if calls { vec![tool] } else { Vec::new() },
            ..Ask::default()
        };
        let mut part = part;
        if let Some(Kind::Habit(habit)) = part.kind() {
            damage::bend(habit, &mut part.manner);
        }
        let mut answer = Answer::compose(&ask, part.manner.means());
        if part.kind() == Some(Kind::Frames(Frames::Surrogate)) {
            damage::split_pairs(&mut answer);
        }
        steps(&answer, &part, ask.include_usage)
    }

    /// Some providers have the habit anyway, and a pair needs an answer in words to be split.
    fn changes_nothing(manner: &Manner, name: &str, calls: bool) -> bool {
        match name {
            "no-done" | "done-spaces" => !manner.wire.done,
            "no-finish" => manner.finish.place == super::super::manner::FinishPlace::Nowhere,
            "no-finish-no-done" => false,
            "crlf" => manner.wire.line_end == "\r\n",
            "cr" => manner.wire.line_end == "\r",
            "null-choices" => manner.usage.place == super::super::manner::UsagePlace::NullChoices,
            "surrogate" => calls && manner.reasoning.is_none() && !manner.refuses,
            _ => false,
        }
    }

    #[test]
    fn every_fault_changes_every_manner() {
        for manner in manners::all() {
            for calls in [false, true] {
                let clean = answered(Part::clean(*manner), calls);
                for (name, _) in fault::list() {
                    let fault = Fault::find(&name).expect("a fault");
                    if matches!(fault.kind, Kind::Reply(_)) {
                        continue;
                    }
                    let part = Part { manner: *manner, fault: Some(fault) };
                    if name != "huge-frame" || manner.name == "demo" {
                        let faulty = answered(part, calls);
                        let same = faulty == clean;
                        let expect = changes_nothing(manner, &name, calls);
                        assert_eq!(same, expect, "{}/{name} {calls}", manner.name);
                    }
                }
            }
        }
    }

    #[test]
    fn a_cut_comes_before_the_end_however_late_it_is_asked_for() {
        let part = Part::of_model("demo/mistral/cut-after-900").expect("a part");
        let text = String::from_utf8(sent(&answered(part, true))).expect("text");
        assert!(text.contains("\"role\":\"assistant\""));
        assert!(!text.contains("\"finish_reason\":\"tool_calls\""));
    }

    #[test]
    fn a_pair_is_split_between_two_frames() {
        let part = Part::of_model("demo/surrogate").expect("a part");
        let text = String::from_utf8(sent(&answered(part, false))).expect("text");
        let (high, low) = (text.find("\\ud83e"), text.find("\\udd86"));
        let between = text.get(high.unwrap_or(0)..low.unwrap_or(0));
        assert!(between.is_some_and(|text| text.contains("\n\ndata: ")));
    }

    #[test]
    fn models_choose_manner_and_fault() {
        let check = |model: &str| Part::of_model(model).map(|part| (part.manner.name, part.number()));
        assert_eq!(check("demo"), Some(("demo", 0)));
        assert_eq!(check(""), Some(("demo", 0)));
        assert_eq!(check("demo/openrouter"), Some(("openrouter", 0)));
        assert_eq!(check("openrouter/stall-7"), Some(("openrouter", 7)));
        assert_eq!(check("demo/cut-after-2"), Some(("demo", 2)));
        assert_eq!(check("demo/slow"), Some(("demo", 0)));
        assert_eq!(check("gpt-4o"), None);
        assert_eq!(check("demo/openrouter/nonsense"), None);
        assert_eq!(check("demonstration"), None);
    }
}
