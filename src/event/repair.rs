//! What millpond mends, by name.

/// Declares the closed list once: variant, name on the wire, meaning.
macro_rules! repairs {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One way in which an upstream departed from the contract and was mended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Repair {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Repair {
            /// Every repair, in the order of declaration.
            pub const ALL: &'static [Repair] = &[$(Repair::$variant,)+];

            /// The name in reports and metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Repair::$variant => $name,)+
                }
            }
        }
    };
}

repairs! {
    /// The body began with a byte order mark.
    ByteOrderMark = "byte_order_mark",
    /// The last event was not closed by a blank line.
    UnterminatedEvent = "unterminated_event",
    /// Events were not separated by a blank line.
    UnseparatedEvents = "unseparated_events",
    /// A JSON text stood in the stream without `data:`.
    BareJson = "bare_json",
    /// A line was no field of the event-stream format.
    StrayLine = "stray_line",
    /// An event had no data, or only white space.
    EmptyEvent = "empty_event",
    /// Data came after the end mark.
    DataAfterEnd = "data_after_end",
    /// White space stood around the end mark.
    EndMarkPadded = "end_mark_padded",
    /// A frame of a kind that the dialect does not know was skipped.
    UnknownFrame = "unknown_frame",
    /// One JSON completion came where a stream was asked for.
    JsonInsteadOfStream = "json_instead_of_stream",
    /// Bytes that are no UTF-8 were replaced.
    InvalidUtf8 = "invalid_utf8",
    /// A surrogate pair was split over two frames, or a half of one was missing.
    LoneSurrogate = "lone_surrogate",
    /// `NaN`, an infinity or a number beyond all bounds became `null`.
    NumberInvalid = "number_invalid",
    /// A control character stood unescaped in a string.
    ControlCharacter = "control_character",
    /// A key came twice in one object.
    KeyDuplicated = "key_duplicated",
    /// A field had another type than its own.
    FieldType = "field_type",
    /// The answer had no id.
    IdMissing = "id_missing",
    /// The answer's id changed.
    IdChanged = "id_changed",
    /// The answer had no model.
    ModelMissing = "model_missing",
    /// The answer's model changed.
    ModelChanged = "model_changed",
    /// The answer had no time of creation.
    CreatedMissing = "created_missing",
    /// The answer's time of creation changed.
    CreatedChanged = "created_changed",
    /// `object` was missing or had another value.
    ObjectUnusual = "object_unusual",
    /// `choices` was missing or null on a chunk.
    ChoicesMissing = "choices_missing",
    /// A choice had no index that can be read.
    ChoiceIndexMissing = "choice_index_missing",
    /// `delta` was missing or null on a choice.
    DeltaMissing = "delta_missing",
    /// A whole `message` came instead of a delta, or beside it.
    MessageRestated = "message_restated",
    /// Padding without meaning was dropped.
    PaddingDropped = "padding_dropped",
    /// A choice never named its role.
    RoleMissing = "role_missing",
    /// The role was named again.
    RoleRepeated = "role_repeated",
    /// Content came in parts.
    ContentParts = "content_parts",
    /// Reasoning came under another name than `reasoning_content`.
    ReasoningRenamed = "reasoning_renamed",
    /// The same reasoning came in two fields.
    ReasoningDuplicated = "reasoning_duplicated",
    /// Reasoning stood between `<think>` tags in the text.
    ThinkTags = "think_tags",
    /// A tool call had no index.
    ToolIndexMissing = "tool_index_missing",
    /// Two tool calls had the same index.
    ToolIndexReused = "tool_index_reused",
    /// Tool calls were not numbered 0, 1, 2 ….
    ToolIndexRenumbered = "tool_index_renumbered",
    /// A tool call had no id.
    ToolIdMissing = "tool_id_missing",
    /// A tool call's id was already taken by another call.
    ToolIdReused = "tool_id_reused",
    /// A tool call's id changed.
    ToolIdChanged = "tool_id_changed",
    /// A tool call's name came more than once.
    ToolNameRepeated = "tool_name_repeated",
    /// A tool call's name came in pieces.
    ToolNameSplit = "tool_name_split",
    /// A tool call never had a name.
    ToolNameMissing = "tool_name_missing",
    /// Arguments were no string.
    ArgumentsRetyped = "arguments_retyped",
    /// A placeholder stood before the real arguments.
    ArgumentsPlaceholder = "arguments_placeholder",
    /// Complete arguments were sent again.
    ArgumentsRepeated = "arguments_repeated",
    /// A call without arguments got `{}`.
    ArgumentsMissing = "arguments_missing",
    /// A tool call came as `function_call`.
    FunctionCallLegacy = "function_call_legacy",
    /// A choice got its finish reason more than once.
    FinishRepeated = "finish_repeated",
    /// Something came for a choice after its finish reason.
    FinishEarly = "finish_early",
    /// A finish reason in another word was translated.
    FinishRenamed = "finish_renamed",
    /// A finish reason contradicted the answer and was put right.
    FinishCorrected = "finish_corrected",
    /// A finish reason in an unknown word became `stop`.
    FinishUnknown = "finish_unknown",
    /// A complete answer had no finish reason.
    FinishMissing = "finish_missing",
    /// Usage came more than once.
    UsageRepeated = "usage_repeated",
    /// Usage did not come on a chunk of its own after the last finish.
    UsageMisplaced = "usage_misplaced",
    /// Usage was brought into the contract's meaning: a total, a nested count, a missing part.
    UsageCompleted = "usage_completed",
    /// A complete answer had no end mark.
    DoneMissing = "done_missing",
    /// An error stood inside a choice or in a finish reason.
    ErrorInChoice = "error_in_choice",
}

/// How often each repair was made in one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repairs([u32; Repair::ALL.len()]);

impl Default for Repairs {
    fn default() -> Self {
        Repairs([0; Repair::ALL.len()])
    }
}

impl Repairs {
    /// Counts one repair.
    pub fn count(&mut self, repair: Repair) {
        if let Some(count) = self.0.get_mut(repair as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// The repairs that were made since an earlier state of the same count, each as often.
    pub fn since(&self, before: &Repairs) -> Vec<Repair> {
        let more = Repair::ALL.iter().zip(self.0.iter().zip(before.0));
        more.flat_map(|(&repair, (now, before))| (before..*now).map(move |_| repair)).collect()
    }

    /// The repairs that were made, with how often, in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = (Repair, u32)> + '_ {
        Repair::ALL.iter().zip(self.0).filter(|&(_, count)| count > 0).map(|(&repair, count)| (repair, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_are_counted_by_name() {
        let mut repairs = Repairs::default();
        repairs.count(Repair::IdChanged);
        repairs.count(Repair::IdChanged);
        repairs.count(Repair::ErrorInChoice);
        let counted: Vec<_> = repairs.iter().map(|(repair, count)| (repair.as_str(), count)).collect();
        assert_eq!(counted, [("id_changed", 2), ("error_in_choice", 1)]);
    }
}
