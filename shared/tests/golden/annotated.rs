//! Owns the form of a golden file: msgpack as hexadecimal digits, an item a line, each with what it says.
//! Never uses the crate's own codec: what is read here is read by the letter of the msgpack specification.

/// Hexadecimal pairs on one line.
const PAIRS_PER_LINE: usize = 16;
/// Where the notes begin, unless the digits need more room.
const NOTE_COLUMN: usize = 60;

/// One msgpack item: its marker, length and content as they stand, and what is inside.
pub(crate) struct Item {
    head: Vec<u8>,
    note: String,
    inside: Inside,
}

enum Inside {
    Nothing,
    List(Vec<Item>),
    Map(Vec<(Item, Item)>),
}

/// Reads items that stand one behind the other.
pub(crate) fn items(bytes: &[u8]) -> Vec<Item> {
    let mut reader = Reader { bytes, at: 0 };
    let mut items = Vec::new();
    while reader.at < bytes.len() {
        items.push(reader.item());
    }
    items
}

/// The golden file of these bytes.
pub(crate) fn file(title: &str, bytes: &[u8]) -> String {
    let mut text = format!("# {title}\n");
    for item in items(bytes) {
        write(&mut text, &[], "", &item, 0);
    }
    text
}

/// The bytes of a golden file.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let digits = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    digits
        .map(|pair| {
            u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("{pair:?} is not a hexadecimal pair"))
        })
        .collect()
}

/// The same items as a newer version might write them: every struct has two fields more, the first and the last.
pub(crate) fn with_more_fields(items: &[Item]) -> Vec<u8> {
    items.iter().flat_map(more_fields).collect()
}

/// Maps that are not structs: the tags of an instance or a task, and the variants of an enum, whose one key is the
/// variant's name.
const TAGS: &str = "\"tg\"";
const VARIANTS: [&str; 16] = [
    "\"q\"",
    "\"ok\"",
    "\"err\"",
    "\"wake\"",
    "\"done\"",
    "\"nohost\"",
    "\"parked\"",
    "\"term\"",
    "\"ctl\"",
    "\"act\"",
    "\"o\"",
    "\"a\"",
    "\"p\"",
    "\"s\"",
    "\"k\"",
    "\"in\"",
];

fn more_fields(item: &Item) -> Vec<u8> {
    match &item.inside {
        Inside::Nothing => item.head.clone(),
        Inside::List(list) => item
            .head
            .iter()
            .copied()
            .chain(list.iter().flat_map(more_fields))
            .collect(),
        Inside::Map(entries) => {
            let is_variant =
                matches!(entries.as_slice(), [(key, _)] if VARIANTS.contains(&key.note.as_str()));
            let grown = entries.iter().flat_map(|(key, value)| {
                let value = if key.note == TAGS {
                    whole(value)
                } else {
                    more_fields(value)
                };
                [key.head.clone(), value].concat()
            });
            if is_variant {
                return item.head.iter().copied().chain(grown).collect();
            }
            // "z1": [1, nil, {"a": b"\0"}] in front, "z2": 1.5 behind: kinds of value that no field of ours has.
            let first = *b"\xa2z1\x93\x01\xc0\x81\xa1a\xc4\x01\0";
            let last = *b"\xa2z2\xcb\x3f\xf8\0\0\0\0\0\0";
            let count =
                u16::try_from(entries.len() + 2).unwrap_or_else(|_| panic!("a struct has fewer fields"));
            let marker = [0xde].into_iter().chain(count.to_be_bytes());
            marker.chain(first).chain(grown).chain(last).collect()
        }
    }
}

fn whole(item: &Item) -> Vec<u8> {
    let inside = match &item.inside {
        Inside::Nothing => Vec::new(),
        Inside::List(list) => list.iter().flat_map(whole).collect(),
        Inside::Map(entries) => entries
            .iter()
            .flat_map(|(key, value)| [whole(key), whole(value)].concat())
            .collect(),
    };
    [item.head.clone(), inside].concat()
}

fn write(text: &mut String, key: &[u8], name: &str, item: &Item, depth: usize) {
    let all: Vec<u8> = key.iter().chain(&item.head).copied().collect();
    let note = format!("{name}{}", item.note);
    for (at, line) in all.chunks(PAIRS_PER_LINE).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let indented = format!("{}{}", "  ".repeat(depth), digits.join(" "));
        if at == 0 {
            text.push_str(&format!("{indented:<NOTE_COLUMN$}# {note}\n"));
        } else {
            text.push_str(&indented);
            text.push('\n');
        }
    }
    match &item.inside {
        Inside::Nothing => {}
        Inside::List(list) => list.iter().for_each(|item| write(text, &[], "", item, depth + 1)),
        Inside::Map(entries) => {
            for (key, value) in entries {
                write(text, &key.head, &format!("{}: ", key.note), value, depth + 1);
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn item(&mut self) -> Item {
        let begin = self.at;
        let marker = self.take(1)[0];
        match marker {
            0x00..=0x7f => self.scalar(begin, marker.to_string()),
            0x80..=0x8f => self.map(begin, usize::from(marker & 0x0f)),
            0x90..=0x9f => self.list(begin, usize::from(marker & 0x0f)),
            0xa0..=0xbf => self.text(begin, usize::from(marker & 0x1f)),
            0xc0 => self.scalar(begin, "nil".to_owned()),
            0xc2 => self.scalar(begin, "false".to_owned()),
            0xc3 => self.scalar(begin, "true".to_owned()),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4));
                self.take(length);
                self.scalar(begin, format!("{length} bytes"))
            }
            0xcc..=0xcf => {
                let number = self.number(1 << (marker - 0xcc));
                self.scalar(begin, number.to_string())
            }
            0xd0..=0xd3 => {
                let width = 1 << (marker - 0xd0);
                let shift = 64 - 8 * width;
                let number = (self.number(width) << shift).cast_signed() >> shift;
                self.scalar(begin, number.to_string())
            }
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9));
                self.text(begin, length)
            }
            0xdc..=0xdd => {
                let count = self.length(2 << (marker - 0xdc));
                self.list(begin, count)
            }
            0xde..=0xdf => {
                let count = self.length(2 << (marker - 0xde));
                self.map(begin, count)
            }
            0xe0..=0xff => self.scalar(begin, marker.cast_signed().to_string()),
            other => panic!("marker {other:#04x}: Longhaul writes no such item"),
        }
    }

    fn scalar(&self, begin: usize, note: String) -> Item {
        let head = self.bytes[begin..self.at].to_vec();
        Item {
            head,
            note,
            inside: Inside::Nothing,
        }
    }

    fn text(&mut self, begin: usize, length: usize) -> Item {
        let text = String::from_utf8(self.take(length).to_vec()).unwrap();
        self.scalar(begin, format!("{text:?}"))
    }

    fn list(&mut self, begin: usize, count: usize) -> Item {
        let head = self.scalar(begin, format!("list of {count}"));
        let list = (0..count).map(|_| self.item()).collect();
        Item {
            inside: Inside::List(list),
            ..head
        }
    }

    fn map(&mut self, begin: usize, count: usize) -> Item {
        let head = self.scalar(begin, format!("map of {count}"));
        let entries = (0..count).map(|_| (self.item(), self.item())).collect();
        Item {
            inside: Inside::Map(entries),
            ..head
        }
    }

    fn length(&mut self, width: usize) -> usize {
        usize::try_from(self.number(width)).unwrap()
    }

    fn number(&mut self, width: usize) -> u64 {
        self.take(width)
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let begin = self.at;
        self.at += count;
        &self.bytes[begin..self.at]
    }
}
