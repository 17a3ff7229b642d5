//! A strict reader of the Responses API, written from the rules R1–R10 of its page and not from the code.

use serde_json::{Map, Value};

use super::contract::{Call, Choice, End};
use super::short;

/// What a client understood.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Response {
    pub choice: Choice,
    pub usage: Option<Value>,
    pub end: End,
    /// The final object.
    pub object: Value,
}

/// The types of events that an item of that type may have, beside `added` and `done`.
const ENDS: [&str; 3] = ["response.completed", "response.incomplete", "response.failed"];

/// One part of an item on its way.
#[derive(Debug)]
struct Part {
    kind: String,
    list: &'static str,
    index: u64,
    text: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    restated: bool,
    done: bool,
}

#[derive(Debug)]
struct Item {
    id: String,
    kind: String,
    parts: Vec<Part>,
    arguments: String,
    called: bool,
    done: Option<Value>,
}

#[derive(Default)]
struct Reader {
    sequence: u64,
    identity: Option<[Value; 3]>,
    in_progress: bool,
    items: Vec<Item>,
    reasoning: String,
    error: Value,
    end: Option<(String, Value)>,
}

fn ensure(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, String> {
    object[name].as_str().ok_or_else(|| format!("{name} is no string"))
}

fn number(object: &Value, name: &str) -> Result<u64, String> {
    object[name].as_u64().ok_or_else(|| format!("{name} is no count"))
}

/// Reads a stream and checks the rules.
pub fn check_stream(downstream: &[u8]) -> Result<Response, String> {
    let all = std::str::from_utf8(downstream).map_err(|error| format!("R1: no UTF-8: {error}"))?;
    ensure(!all.contains('\r'), "R1: a CR")?;
    let events = all.strip_suffix("\n\n").ok_or("R1: the last event is not closed")?;
    let mut reader = Reader::default();
    for event in events.split("\n\n").filter(|event| *event != ": keep-alive") {
        let (head, data) = event.split_once('\n').ok_or("R1: not two lines")?;
        let name = head.strip_prefix("event: ").ok_or("R1: no event line")?;
        let data = data.strip_prefix("data: ").filter(|data| !data.contains('\n'));
        let data = data.ok_or("R1: not one data line")?;
        reader.event(name, data).map_err(|rule| format!("{rule}, in {}", short(event)))?;
    }
    reader.finish()
}

impl Reader {
    fn event(&mut self, name: &str, data: &str) -> Result<(), String> {
        let event: Value = serde_json::from_str(data).map_err(|error| format!("R1: no JSON: {error}"))?;
        ensure(self.end.is_none(), "R2: something after the end")?;
        ensure(self.error.is_null() || name == "response.failed", "R9: something after the error")?;
        ensure(event["type"] == name, "R1: another type")?;
        ensure(number(&event, "sequence_number")? == self.sequence, "R1: a gap")?;
        ensure((name == "response.created") == (self.sequence == 0), "R2: created is not the first")?;
        self.sequence += 1;
        match name {
            "response.created" | "response.in_progress" => {
                self.response(&event["response"], "in_progress")?;
                ensure(event["response"]["output"] == Value::Array(vec![]), "R2: output at the beginning")?;
                self.in_progress |= name == "response.in_progress";
                Ok(())
            }
            name if ENDS.contains(&name) => {
                let status = &name["response.".len()..];
                self.response(&event["response"], status)?;
                ensure(
                    self.error == event["response"]["error"],
                    "R9: no error, or another, before it failed",
                )?;
                self.end = Some((status.to_owned(), event["response"].clone()));
                Ok(())
            }
            "error" => {
                ensure(event["error"].is_object(), "R9: an error event without an error")?;
                self.error = event["error"].clone();
                Ok(())
            }
            "response.output_item.added" => self.added(&event),
            "response.output_item.done" => self.done(&event),
            _ => {
                let id = text(&event, "item_id")?.to_owned();
                let at = number(&event, "output_index")? as usize;
                let item = self.items.get_mut(at).ok_or("R4: an item that nobody announced")?;
                ensure(item.id == id, "R4: another id")?;
                ensure(item.done.is_none(), "R4: an event after done")?;
                if let (Some(word), true) = (event["delta"].as_str(), name.contains("reasoning")) {
                    self.reasoning.push_str(word);
                }
                item.event(name, &event)
            }
        }
    }

    fn response(&mut self, response: &Value, status: &str) -> Result<(), String> {
        check_response(response, status)?;
        let identity = ["id", "created_at", "model"].map(|name| response[name].clone());
        ensure(*self.identity.get_or_insert(identity.clone()) == identity, "R3: another identity")
    }

    fn added(&mut self, event: &Value) -> Result<(), String> {
        ensure(self.in_progress, "R2: an item before in_progress")?;
        let item = &event["item"];
        ensure(number(event, "output_index")? == self.items.len() as u64, "R4: not the next place")?;
        let id = text(item, "id")?.to_owned();
        ensure(!id.is_empty(), "R4: an empty id")?;
        let kind = text(item, "type")?.to_owned();
        match kind.as_str() {
            "message" => ensure(item["content"] == Value::Array(vec![]), "R4: content in added")?,
            "reasoning" => ensure(item["summary"] == Value::Array(vec![]), "R4: a summary in added")?,
            "function_call" => {
                ensure(item["arguments"] == "", "R4: arguments in added")?;
                ensure(!text(item, "call_id")?.is_empty(), "D3: no call_id")?;
                text(item, "name")?;
            }
            _ => {}
        }
        let goes_on = |item: &Item| item.done.is_none() && item.kind != "function_call";
        ensure(!self.items.iter().any(goes_on), "R5: items overlap")?;
        let (parts, arguments) = (Vec::new(), String::new());
        self.items.push(Item { id, kind, parts, arguments, called: false, done: None });
        Ok(())
    }

    fn done(&mut self, event: &Value) -> Result<(), String> {
        let at = number(event, "output_index")? as usize;
        let item = self.items.get_mut(at).ok_or("R4: an item that nobody announced")?;
        let done = &event["item"];
        ensure(item.done.is_none(), "R4: done twice")?;
        ensure(done["id"] == item.id.as_str() && done["type"] == item.kind.as_str(), "R4: another item")?;
        item.check(done, true)?;
        if item.kind == "function_call" {
            ensure(item.called, "R6: done before its arguments")?;
        }
        ensure(item.parts.iter().all(|part| part.done), "R5: a part is not done")?;
        item.done = Some(done.clone());
        Ok(())
    }

    fn finish(self) -> Result<Response, String> {
        let (status, object) = self.end.ok_or("R2: no end")?;
        let output = object["output"].as_array().ok_or("R7: no output")?;
        ensure(output.len() == self.items.len(), "R7: another number of items")?;
        for (item, last) in self.items.iter().zip(output) {
            match &item.done {
                Some(done) if done["type"] == "message" => {
                    // Fields beside the text may come late.
                    ensure(
                        done["content"] == last["content"] && done["id"] == last["id"],
                        "R7: another message",
                    )?;
                }
                Some(done) => ensure(done == last, "R7: another item")?,
                None => {
                    ensure(status == "failed", "R4: an item is not done")?;
                    ensure(last["status"] == "incomplete" || item.kind == "reasoning", "R9: not incomplete")?;
                    item.check(last, false)?;
                }
            }
        }
        let mut response = read(&object)?;
        // Within an item a client hears them in this order.
        if response.choice.reasoning != self.reasoning {
            let sorted = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                bytes.sort_unstable();
                bytes
            };
            ensure(sorted(&response.choice.reasoning) == sorted(&self.reasoning), "R7: other reasoning")?;
            response.choice.reasoning = self.reasoning;
        }
        Ok(response)
    }
}

impl Item {
    fn event(&mut self, name: &str, event: &Value) -> Result<(), String> {
        match name {
            "response.function_call_arguments.delta" => {
                let delta = text(event, "delta")?;
                ensure(!delta.is_empty() && !self.called, "R6: an empty or late piece")?;
                self.arguments.push_str(delta);
                return ensure(self.kind == "function_call", "R4: arguments of no call");
            }
            "response.function_call_arguments.done" => {
                ensure(text(event, "arguments")? == self.arguments, "R4: other arguments")?;
                ensure(!std::mem::replace(&mut self.called, true), "R6: done twice")?;
                return ensure(self.kind == "function_call", "R4: arguments of no call");
            }
            _ => {}
        }
        let (list, by) = match name.contains("summary") {
            true => ("summary", "summary_index"),
            false => ("content", "content_index"),
        };
        let index = number(event, by)?;
        match name {
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                ensure(self.parts.iter().all(|part| part.done), "R5: parts overlap")?;
                let same = self.parts.iter().filter(|part| part.list == list).count();
                ensure(index == same as u64, "R5: not the next part")?;
                let kind = text(&event["part"], "type")?.to_owned();
                let fits = match self.kind.as_str() {
                    "message" => ["output_text", "refusal"].contains(&kind.as_str()),
                    "reasoning" => ["summary_text", "reasoning_text"].contains(&kind.as_str()),
                    _ => false,
                };
                ensure(fits, "R5: a part of another item")?;
                self.parts.push(Part {
                    kind,
                    list,
                    index,
                    text: String::new(),
                    annotations: Vec::new(),
                    logprobs: Vec::new(),
                    restated: false,
                    done: false,
                });
                self.parts.last().map_or(Ok(()), |part| part.check(&event["part"]))
            }
            _ => {
                let part = self.parts.last_mut().filter(|part| part.index == index && part.list == list);
                let part = part.ok_or("R5: a part that nobody announced")?;
                ensure(!part.done, "R5: after done")?;
                part.event(name, event)
            }
        }
    }

    /// The item says all of what its events said.
    fn check(&self, item: &Value, whole: bool) -> Result<(), String> {
        if whole {
            let status = item["status"].as_str();
            let fits = matches!(status, Some("completed" | "incomplete"));
            ensure(fits || !["message", "function_call"].contains(&self.kind.as_str()), "R4: no status")?;
        }
        if self.kind == "function_call" {
            return ensure(item["arguments"] == self.arguments.as_str(), "R4: other arguments");
        }
        for list in ["summary", "content"] {
            let parts: Vec<&Part> = self.parts.iter().filter(|part| part.list == list).collect();
            if !["message", "reasoning"].contains(&self.kind.as_str()) {
                continue;
            }
            let said = item[list].as_array().map(Vec::as_slice).unwrap_or_default();
            ensure(said.len() == parts.len(), "R4: another number of parts")?;
            parts.iter().zip(said).try_for_each(|(part, said)| part.check(said))?;
        }
        Ok(())
    }
}

impl Part {
    fn event(&mut self, name: &str, event: &Value) -> Result<(), String> {
        let own = match self.kind.as_str() {
            "output_text" => "response.output_text",
            "refusal" => "response.refusal",
            "summary_text" => "response.reasoning_summary_text",
            _ => "response.reasoning_text",
        };
        if name == format!("{own}.delta") {
            ensure(!self.restated, "R5: a piece after all of it")?;
            self.text.push_str(text(event, "delta")?);
            if self.kind == "output_text" {
                self.logprobs.extend(event["logprobs"].as_array().ok_or("R4: no logprobs")?.clone());
            }
            return Ok(());
        }
        if name == format!("{own}.done") {
            let member = if self.kind == "refusal" { "refusal" } else { "text" };
            ensure(text(event, member)? == self.text, "R4: another text")?;
            return ensure(!std::mem::replace(&mut self.restated, true), "R5: done twice");
        }
        match name {
            "response.output_text.annotation.added" if self.kind == "output_text" => {
                let index = number(event, "annotation_index")?;
                ensure(index == self.annotations.len() as u64, "R4: not the next annotation")?;
                ensure(event["annotation"]["type"].is_string(), "R4: an annotation without a type")?;
                self.annotations.push(event["annotation"].clone());
                Ok(())
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                ensure(self.restated, "R5: a part is done before its text")?;
                self.done = true;
                self.check(&event["part"])
            }
            _ => Err(format!("R1: unknown event {name}")),
        }
    }

    fn check(&self, part: &Value) -> Result<(), String> {
        ensure(part["type"] == self.kind.as_str(), "R4: a part of another type")?;
        let member = if self.kind == "refusal" { "refusal" } else { "text" };
        ensure(part[member] == self.text.as_str(), "R4: another text")?;
        if self.kind == "output_text" {
            ensure(part["annotations"] == Value::Array(self.annotations.clone()), "R4: other annotations")?;
            ensure(part["logprobs"] == Value::Array(self.logprobs.clone()), "R4: other logprobs")?;
        }
        Ok(())
    }
}

/// Reads the one object of a request that is no stream, or the error in its place.
pub fn check_object(body: &[u8]) -> Result<Response, String> {
    let object: Value = serde_json::from_slice(body).map_err(|error| format!("R7: no JSON: {error}"))?;
    if let Some(code) = object["error"]["code"].as_str().filter(|_| object["object"].is_null()) {
        return Ok(Response { end: End::Fault(code.to_owned()), ..Response::default() });
    }
    read(&object)
}

/// The members that clients read on every response.
fn check_response(response: &Value, status: &str) -> Result<(), String> {
    let members = response.as_object().ok_or("R7: no response")?;
    ensure(response["object"] == "response", "R7: another object")?;
    ensure(response["status"] == status, "R7: another status")?;
    ensure(text(response, "id")?.starts_with("resp_"), "R3: another id")?;
    number(response, "created_at")?;
    text(response, "model")?;
    let needed = ["error", "incomplete_details", "output", "usage", "tools", "tool_choice", "metadata"];
    let more = ["parallel_tool_calls", "temperature", "top_p", "instructions", "text", "reasoning"];
    let missing = needed.iter().chain(&more).find(|name| !members.contains_key(**name));
    ensure(missing.is_none(), "R7: a member is missing")?;
    ensure(response["error"].is_object() == (status == "failed"), "R9: an error or none")?;
    ensure(
        response["incomplete_details"]["reason"].is_string() == (status == "incomplete"),
        "R8: a reason or none",
    )
}

fn read(object: &Value) -> Result<Response, String> {
    let status = text(object, "status")?;
    check_response(object, status)?;
    let mut response = Response { object: object.clone(), ..Response::default() };
    let choice = &mut response.choice;
    for item in object["output"].as_array().ok_or("R7: no output")? {
        let parts = |list: &str| item[list].as_array().cloned().unwrap_or_default();
        match text(item, "type")? {
            "message" => {
                ensure(item["role"] == "assistant", "R4: another role")?;
                for part in parts("content") {
                    choice.text.push_str(part["text"].as_str().unwrap_or_default());
                    choice.refusal.push_str(part["refusal"].as_str().unwrap_or_default());
                }
            }
            "reasoning" => {
                for part in parts("summary").into_iter().chain(parts("content")) {
                    choice.reasoning.push_str(text(&part, "text")?);
                }
            }
            "function_call" => choice.calls.push(Call {
                id: text(item, "call_id")?.to_owned(),
                name: text(item, "name")?.to_owned(),
                arguments: text(item, "arguments")?.to_owned(),
            }),
            _ => {}
        }
    }
    match status {
        "failed" => {
            ensure(!text(&object["error"], "message")?.trim().is_empty(), "R9: no message")?;
            text(&object["error"], "code")?;
            response.end = End::Fault(text(&object["error"], "fault")?.to_owned());
        }
        "completed" => choice.finish = Some("completed".to_owned()),
        "incomplete" => choice.finish = Some("incomplete".to_owned()),
        _ => return Err(format!("R2: the status {status}")),
    }
    if let Some(usage) = object["usage"].as_object() {
        response.usage = Some(counts(usage)?);
    }
    Ok(response)
}

/// The five counts, which all must be there.
fn counts(usage: &Map<String, Value>) -> Result<Value, String> {
    let usage = Value::Object(usage.clone());
    let all = [
        number(&usage, "input_tokens")?,
        number(&usage, "output_tokens")?,
        number(&usage, "total_tokens")?,
        number(&usage["input_tokens_details"], "cached_tokens")?,
        number(&usage["output_tokens_details"], "reasoning_tokens")?,
    ];
    Ok(Value::from(all.to_vec()))
}
