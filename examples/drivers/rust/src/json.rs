//! As much JSON as the protocol needs: a reader of whole values, and escapes for writing strings.

use std::collections::BTreeMap;

#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Nothing here needs one: it is read over.
    Float,
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

static NULL: Value = Value::Null;

impl Value {
    /// The field of this name; null where there is none.
    pub fn get(&self, name: &str) -> &Value {
        match self {
            Value::Object(fields) => fields.get(name).unwrap_or(&NULL),
            _ => &NULL,
        }
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A count, or `otherwise` where the field was left out.
    pub fn count(&self, otherwise: usize) -> usize {
        self.int()
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(otherwise)
    }

    pub fn flag(&self, otherwise: bool) -> bool {
        match self {
            Value::Bool(value) => *value,
            _ => otherwise,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            _ => &[],
        }
    }
}

/// The value that a line holds, or what is wrong with it.
pub fn parse(line: &str) -> Result<Value, String> {
    let mut reader = Reader {
        bytes: line.as_bytes(),
        at: 0,
    };
    let value = reader.value()?;
    reader.space();
    if reader.at < reader.bytes.len() {
        return Err(format!("more behind the value, at byte {}", reader.at));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        self.space();
        if self.bytes[self.at..].starts_with(wanted.as_bytes()) {
            self.at += wanted.len();
            return Ok(());
        }
        Err(format!("{wanted:?} is missing at byte {}", self.at))
    }

    /// Whether `mark` comes next; it is stepped over.
    fn takes(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(mark);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b't') => self.expect("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.expect("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.expect("null").map(|()| Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut fields = BTreeMap::new();
        self.expect("{")?;
        if self.takes(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.expect(":")?;
            fields.insert(name, self.value()?);
            if !self.takes(b',') {
                break;
            }
        }
        self.expect("}")?;
        Ok(Value::Object(fields))
    }

    fn list(&mut self) -> Result<Value, String> {
        let mut values = Vec::new();
        self.expect("[")?;
        if self.takes(b']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value()?);
            if !self.takes(b',') {
                break;
            }
        }
        self.expect("]")?;
        Ok(Value::List(values))
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|byte| b"+-.eE0123456789".contains(byte))
        {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        if let Ok(number) = text.parse() {
            return Ok(Value::Int(number));
        }
        text.parse::<f64>()
            .map_err(|_| format!("no value at byte {start}"))?;
        Ok(Value::Float)
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut text = Vec::new();
        loop {
            let byte = *self.bytes.get(self.at).ok_or("a string without an end")?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(text).map_err(|_| "no UTF-8".to_string()),
                b'\\' => {
                    let escaped = self.escape()?;
                    text.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => text.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let byte = *self.bytes.get(self.at).ok_or("a string without an end")?;
        self.at += 1;
        Ok(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let high = self.hex()?;
                if (0xd800..0xdc00).contains(&high) {
                    self.expect("\\u")?;
                    let low = self.hex()?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff))
                } else {
                    char::from_u32(high)
                }
                .ok_or("half a surrogate pair")?
            }
            other => char::from(other),
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or("half an escape")?;
        self.at += 4;
        let text = std::str::from_utf8(digits).map_err(|_| "no hexadecimal digits")?;
        u32::from_str_radix(text, 16).map_err(|_| format!("{text:?} is not hexadecimal"))
    }
}

/// Append a string with its quotes.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter < ' ' => out.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// Append a list, each entry as `write` writes it.
pub fn list<T>(
    out: &mut String,
    entries: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, entry) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, entry);
    }
    out.push(']');
}
