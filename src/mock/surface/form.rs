//! The fields of a form.

use memchr::memmem;

/// The fields of a form (`multipart/form-data`), in their order; none of what is no form.
#[derive(Debug, Default)]
pub struct Form<'a>(Vec<Field<'a>>);

#[derive(Debug)]
struct Field<'a> {
    name: String,
    file: Option<String>,
    value: &'a [u8],
}

impl<'a> Form<'a> {
    /// Reads a body of this type.
    pub fn read(kind: &str, body: &'a [u8]) -> Form<'a> {
        let Some((_, boundary)) = kind.split_once("boundary=") else { return Form::default() };
        let delimiter = format!("--{}", boundary.trim_matches('"'));
        let mut fields = Vec::new();
        let mut rest = body;
        while let Some(at) = memmem::find(rest, delimiter.as_bytes()) {
            let part = rest.get(..at).unwrap_or_default();
            fields.extend(field(part));
            rest = rest.get(at + delimiter.len()..).unwrap_or_default();
        }
        Form(fields)
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<String> {
        let field = self.0.iter().find(|field| field.name == name)?;
        Some(String::from_utf8_lossy(field.value).into_owned())
    }

    /// The name and the bytes of the first file.
    pub fn file(&self) -> Option<(&str, &'a [u8])> {
        self.0.iter().find_map(|field| Some((field.file.as_deref()?, field.value)))
    }
}

/// A part between two delimiters.
fn field(part: &[u8]) -> Option<Field<'_>> {
    let end = memmem::find(part, b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(part.get(..end)?);
    let value = part.get(end + 4..)?;
    let parameter = |name: &str| {
        let (_, after) = headers.split_once(&format!(" {name}=\""))?;
        Some(after.split_once('"')?.0.to_owned())
    };
    Some(Field {
        name: parameter("name")?,
        file: parameter("filename"),
        value: value.strip_suffix(b"\r\n").unwrap_or(value),
    })
}
