//! Where a JSON object or array ends, by its brackets.

/// Finds the end of a JSON object or array that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Balance {
    /// Reads on; true once every bracket is closed.
    pub(crate) fn scan(&mut self, text: &[u8]) -> bool {
        for &byte in text {
            self.read(byte);
        }
        self.depth == 0
    }

    /// Reads on up to where every bracket is closed, and tells where that is.
    pub(crate) fn end(&mut self, text: &[u8]) -> Option<usize> {
        let last = text.iter().position(|&byte| {
            self.read(byte);
            self.depth == 0
        });
        last.map(|last| last + 1)
    }

    fn read(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}
