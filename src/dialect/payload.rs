//! The payload of a frame as JSON, for every dialect whose frames are JSON objects.

use super::mend::{Mender, may_hold_surrogates};
use super::{DecodeError, envelope};
use crate::event::{Delta, Fault, FaultCode, Repair, Repairs};
use crate::framing::Frame;
use crate::json::{self, Members};

/// What a frame holds.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    /// Nothing, or JSON that can say nothing: a number, a flag, null.
    Nothing,
    /// `[DONE]`: gateways put it behind streams of every dialect.
    EndMark,
    /// An object: its text and its members.
    Object(&'a str, Members<'a>),
    /// An array: its text.
    Array(&'a str),
    /// A failure that is told in no JSON.
    Failure(Box<Fault>),
}

/// Reads payloads, and mends what a strict parser rejects (F5).
#[derive(Debug, Default)]
pub(super) struct Reader {
    mender: Mender,
    mended: Vec<u8>,
}

impl Reader {
    /// Reads one frame and passes its objects on; what it holds else is told as every dialect tells it.
    pub(super) fn objects<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
        mut object: impl FnMut(
            &'a str,
            &Members<'a>,
            &mut Vec<Delta<'a>>,
            &mut Repairs,
        ) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        match self.read(frame, repairs)? {
            Payload::Nothing => {}
            Payload::EndMark => out.push(Delta::End),
            Payload::Failure(fault) => out.push(Delta::Error(fault)),
            Payload::Array(text) => {
                for text in json::elements(text) {
                    object(text, &Members::of(text), out, repairs)?;
                }
            }
            Payload::Object(text, members) => object(text, &members, out, repairs)?,
        }
        Ok(())
    }

    /// Reads the payload of one frame.
    pub(super) fn read<'a>(
        &'a mut self,
        frame: Frame<'a>,
        repairs: &mut Repairs,
    ) -> Result<Payload<'a>, DecodeError> {
        let data = frame.data.trim_ascii();
        if data.is_empty() && frame.closed {
            repairs.count(Repair::EmptyEvent);
            return Ok(Payload::Nothing);
        }
        if data == b"[DONE]" {
            return Ok(Payload::EndMark);
        }
        let strict = !self.mender.is_waiting() && !may_hold_surrogates(data);
        let text = std::str::from_utf8(data).ok().filter(|_| strict); // Else it is mended below.
        if let Some(payload) = text.and_then(|text| parse(text, repairs)) {
            return Ok(payload);
        }
        self.mended = self.mender.mend(data, repairs);
        let mended = std::str::from_utf8(&self.mended).ok(); // The mender writes UTF-8.
        match mended.and_then(|text| parse(text, repairs)) {
            Some(payload) => Ok(payload),
            None if frame.failed || frame.name == b"error" => {
                let fault = envelope::read_text(data).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
                Ok(Payload::Failure(Box::new(fault)))
            }
            None => Err(DecodeError::Malformed),
        }
    }
}

fn parse<'a>(text: &'a str, repairs: &mut Repairs) -> Option<Payload<'a>> {
    match text.as_bytes().first()? {
        // Not JSON: the caller's to judge, here and below.
        b'{' => serde_json::from_str(text).ok().map(|members| Payload::Object(text, members)),
        first => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?; // As above.
            match first {
                b'[' => Some(Payload::Array(text)),
                // A string may have been meant as text.
                b'"' => None,
                _ => {
                    repairs.count(Repair::UnknownFrame);
                    Some(Payload::Nothing)
                }
            }
        }
    }
}
