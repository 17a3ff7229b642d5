//! An example value for a JSON schema: the arguments of a tool call, or a structured answer.

use serde_json::Value;

use super::json::{Json, Object};

/// How deep an example goes before it ends in `null`; a schema may refer to itself.
const DEPTH: usize = 12;

/// The most items that an example array has, whatever `minItems` says.
const ITEMS: u64 = 8;

/// Builds an example that fits a schema: strings are "Paris", numbers 42, booleans true.
pub fn example(schema: &Value) -> Json {
    Example { root: schema }.value(schema, DEPTH)
}

/// Says whether a schema asks for an object with at least one property.
pub fn has_properties(schema: &Value) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty())
        || schema.get("$ref").is_some()
}

struct Example<'a> {
    root: &'a Value,
}

impl Example<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Json {
        if depth == 0 {
            return Json::Null;
        }
        if let Some(fixed) = fixed(schema) {
            return Json::Raw(fixed.to_string());
        }
        if let Some(target) = self.target(schema) {
            return self.value(target, depth - 1);
        }
        if let Some(branch) = branch(schema) {
            return self.value(branch, depth - 1);
        }
        match kind(schema) {
            "object" => self.object(schema, depth).into(),
            "array" => self.array(schema, depth),
            "integer" | "number" => number(schema),
            "boolean" => true.into(),
            "null" => Json::Null,
            _ => text(schema).into(),
        }
    }

    fn target<'s>(&'s self, schema: &Value) -> Option<&'s Value> {
        let path = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(path)
    }

    /// The required properties in the order of `required`, or all where nothing is said.
    fn object(&self, schema: &Value, depth: usize) -> Object {
        let mut object = Object::default();
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return object;
        };
        let names: Vec<&str> = match schema.get("required").and_then(Value::as_array) {
            Some(required) => required.iter().filter_map(Value::as_str).collect(),
            None => properties.keys().map(String::as_str).collect(),
        };
        for name in names {
            let value = match properties.get(name) {
                Some(property) => self.value(property, depth - 1),
                None => "Paris".into(),
            };
            object.set(name, value);
        }
        object
    }

    fn array(&self, schema: &Value, depth: usize) -> Json {
        if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
            let items: Vec<Json> = items.iter().map(|item| self.value(item, depth - 1)).collect();
            return items.into();
        }
        let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, ITEMS);
        let item = match schema.get("items") {
            Some(items) => self.value(items, depth - 1),
            None => "Paris".into(),
        };
        Json::List((0..count).map(|_| item.clone()).collect())
    }
}

fn fixed(schema: &Value) -> Option<&Value> {
    schema.get("const").or_else(|| schema.get("enum")?.as_array()?.first())
}

/// The branch of a combination to follow: the first that is not null.
fn branch(schema: &Value) -> Option<&Value> {
    let branches = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)?.as_array())?;
    branches.iter().find(|branch| kind(branch) != "null").or_else(|| branches.first())
}

fn kind(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    };
    match named {
        Some(name) => name,
        None if schema.get("properties").is_some() => "object",
        None if schema.get("items").is_some() => "array",
        None => "string",
    }
}

fn number(schema: &Value) -> Json {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|bound| bound.saturating_add(1)));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|bound| bound.saturating_sub(1)));
    let mut number = 42;
    if let Some(most) = most {
        number = number.min(most);
    }
    if let Some(least) = least {
        number = number.max(least);
    }
    Json::Raw(number.to_string())
}

fn text(schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T12:00:00Z",
        Some("email") => "duck@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000042",
        _ => "Paris",
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Handwriting;
    use super::*;

    fn check(schema: Value, expect: &str) {
        assert_eq!(example(&schema).write(Handwriting::default()), expect);
    }

    #[test]
    fn each_type_has_its_value() {
        check(
            serde_json::json!({
                "type": "object",
                "properties": {
                    "city": {"type": "string"}, "days": {"type": "integer"}, "sunny": {"type": "boolean"},
                    "unit": {"enum": ["celsius", "kelvin"]}, "tags": {"type": "array", "items": {"type": "string"}},
                    "place": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
                    "unused": {"type": "string"}
                },
                "required": ["sunny", "city", "days", "unit", "tags", "place"]
            }),
            r#"{"sunny":true,"city":"Paris","days":42,"unit":"celsius","tags":["Paris"],"place":{"name":"Paris"}}"#,
        );
    }

    #[test]
    fn references_unions_and_bounds_are_followed() {
        check(
            serde_json::json!({
                "$defs": {"Small": {"type": "integer", "maximum": 9}},
                "type": "object",
                "properties": {
                    "a": {"$ref": "#/$defs/Small"}, "b": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
                    "c": {"type": ["null", "string"], "format": "date"}, "d": {"const": "x"}
                },
                "required": ["a", "b", "c", "d"]
            }),
            r#"{"a":9,"b":true,"c":"2026-01-01","d":"x"}"#,
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = serde_json::json!({
            "type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"]
        });
        assert!(example(&schema).write(Handwriting::default()).contains("null"));
    }
}
