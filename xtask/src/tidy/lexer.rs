//! Rust source as tokens with their lines: comments are gone, literals are opaque.
//! Never parses: the rules look for short patterns of tokens, which needs no grammar and no dependency.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword, without `r#`.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    /// A number, string or character: what it says is of no interest here.
    Literal,
    Lifetime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// From 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is_word(&self, wanted: &str) -> bool {
        self.word() == Some(wanted)
    }

    pub(crate) fn is_mark(&self, wanted: char) -> bool {
        self.kind == Kind::Mark(wanted)
    }
}

pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: text.chars().peekable(),
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.step() {}
    lexer.tokens
}

/// The tokens without the items under `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let Some(token) = rest.first() {
        if let Some(after) = after_test_item(rest) {
            rest = after;
        } else {
            kept.push(token.clone());
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    kept
}

/// What follows the group that `tokens` begins with, if it begins with an opening bracket of any sort.
pub(crate) fn after_group(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Mark('(' | '[' | '{') => depth += 1,
            Kind::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return tokens.get(at + 1..).unwrap_or_default();
        }
    }
    &[]
}

fn after_test_item(tokens: &[Token]) -> Option<&[Token]> {
    let [hash, bracket, cfg, rest @ ..] = tokens else {
        return None;
    };
    if !(hash.is_mark('#') && bracket.is_mark('[') && cfg.is_word("cfg")) {
        return None;
    }
    let condition = rest.get(..rest.len() - after_group(rest).len())?;
    let said = |word| condition.iter().any(|token| token.is_word(word));
    if !said("test") || said("not") || said("any") {
        return None;
    }
    let mut rest = after_group(tokens.get(1..)?);
    loop {
        match rest {
            [hash, bracket, ..] if hash.is_mark('#') && bracket.is_mark('[') => {
                rest = after_group(rest.get(1..)?)
            }
            [token, after @ ..] if token.is_mark(';') => return Some(after),
            [token, ..] if token.is_mark('{') => return Some(after_group(rest)),
            [token, ..] if token.is_mark('(') || token.is_mark('[') => rest = after_group(rest),
            [_, after @ ..] => rest = after,
            [] => return Some(&[]),
        }
    }
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn step(&mut self) -> bool {
        let line = self.line;
        let Some(first) = self.bump() else { return false };
        let kind = match first {
            _ if first.is_whitespace() => return true,
            '/' if self.rest.peek() == Some(&'/') => {
                while self.rest.peek().is_some_and(|&c| c != '\n') {
                    self.bump();
                }
                return true;
            }
            '/' if self.rest.peek() == Some(&'*') => {
                self.block_comment();
                return true;
            }
            '"' => self.string(),
            '\'' => self.quote(),
            _ if first.is_ascii_digit() => self.number(),
            _ if first.is_alphabetic() || first == '_' => self.word(first),
            _ => Kind::Mark(first),
        };
        self.tokens.push(Token { kind, line });
        true
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn block_comment(&mut self) {
        self.bump();
        let mut depth = 1;
        while depth > 0 {
            match (self.bump(), self.rest.peek()) {
                (Some('/'), Some('*')) => {
                    self.bump();
                    depth += 1;
                }
                (Some('*'), Some('/')) => {
                    self.bump();
                    depth -= 1;
                }
                (None, _) => return,
                _ => {}
            }
        }
    }

    /// After the opening quote.
    fn string(&mut self) -> Kind {
        loop {
            match self.bump() {
                Some('\\') => {
                    self.bump();
                }
                Some('"') | None => return Kind::Literal,
                Some(_) => {}
            }
        }
    }

    /// After `r` and `hashes` of `#`, at the opening quote.
    fn raw_string(&mut self, hashes: usize) -> Kind {
        self.bump();
        loop {
            match self.bump() {
                Some('"') => {
                    let mut seen = 0;
                    while seen < hashes && self.rest.peek() == Some(&'#') {
                        self.bump();
                        seen += 1;
                    }
                    if seen == hashes {
                        return Kind::Literal;
                    }
                }
                None => return Kind::Literal,
                Some(_) => {}
            }
        }
    }

    /// After a single quote: a character or a lifetime.
    fn quote(&mut self) -> Kind {
        match self.bump() {
            Some('\\') => {
                self.bump();
                // The rest of `\u{…}` and `\x7f`, and the closing quote.
                while self.bump().is_some_and(|c| c != '\'') {}
                Kind::Literal
            }
            _ if self.rest.peek() == Some(&'\'') => {
                self.bump();
                Kind::Literal
            }
            _ => {
                while self.rest.peek().is_some_and(|&c| c.is_alphanumeric() || c == '_') {
                    self.bump();
                }
                Kind::Lifetime
            }
        }
    }

    fn number(&mut self) -> Kind {
        loop {
            match self.rest.peek() {
                Some(&c) if c.is_alphanumeric() || c == '_' => {
                    self.bump();
                }
                // `1.5` goes on, `0..5` and `1.max(2)` do not.
                Some('.') => {
                    let mut ahead = self.rest.clone();
                    ahead.next();
                    if !ahead.peek().is_some_and(char::is_ascii_digit) {
                        return Kind::Literal;
                    }
                    self.bump();
                }
                _ => return Kind::Literal,
            }
        }
    }

    fn word(&mut self, first: char) -> Kind {
        let mut word = String::from(first);
        while let Some(&next) = self.rest.peek() {
            if !(next.is_alphanumeric() || next == '_') {
                break;
            }
            word.push(next);
            self.bump();
        }
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        match self.rest.peek() {
            Some('"') if raw => self.raw_string(0),
            Some('"') if matches!(word.as_str(), "b" | "c") => {
                self.bump();
                self.string()
            }
            Some('\'') if word == "b" => {
                self.bump();
                self.quote()
            }
            Some('#') if raw => self.raw(word),
            _ => Kind::Word(word),
        }
    }

    /// After `r`, at a `#`: a raw string or a raw identifier.
    fn raw(&mut self, prefix: String) -> Kind {
        let hashes = self.rest.clone().take_while(|&c| c == '#').count();
        if self.rest.clone().nth(hashes) == Some('"') {
            for _ in 0..hashes {
                self.bump();
            }
            return self.raw_string(hashes);
        }
        let identifier = self
            .rest
            .clone()
            .nth(1)
            .filter(|&c| c.is_alphabetic() || c == '_');
        match identifier {
            Some(first) if prefix == "r" => {
                self.bump();
                self.bump();
                self.word(first)
            }
            _ => Kind::Word(prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text)
            .iter()
            .filter_map(|token| token.word().map(str::to_owned))
            .collect()
    }

    #[test]
    fn comments_and_literals_hide_what_they_say() {
        let text = r####"
            // tokio
            /* tokio /* tokio */ tokio */
            let a = "tokio \" tokio"; let b = r#"tokio " tokio"#; let c = b"tokio"; let d = br"tokio\";
            let e = '"'; let f = '\''; let g = '\u{1F600}'; let h = b'x'; let i: &'static str = "tokio";
            last
        "####;
        let expected = "let a let b let c let d let e let f let g let h let i str last";
        assert_eq!(words(text).join(" "), expected);
    }

    #[test]
    fn raw_identifiers_are_words() {
        assert_eq!(words("fn r#type() {} r + b"), ["fn", "type", "r", "b"]);
    }

    #[test]
    fn every_token_knows_its_line() {
        let text = "one /* \n\n */ two \"a\nb\" three\n// x\nfour";
        let lines: Vec<usize> = tokens(text).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 3, 4, 6]);
    }

    #[test]
    fn ranges_and_floats_are_told_apart() {
        assert_eq!(tokens("0..5").len(), 4);
        assert_eq!(tokens("1.5").len(), 1);
        assert_eq!(words("1.max(2)"), ["max"]);
    }

    #[test]
    fn test_items_can_be_left_out() {
        let text = "
            fn a() {}
            #[cfg(test)] #[allow(x)] mod tests { fn b() { if c {} } }
            #[cfg(all(test, unix))] use d::e;
            #[cfg(not(test))] fn f() {}
            #[cfg(test)] fn g<const N: usize>(h: [u8; 3]) {}
            #[cfg(any(test, feature = \"conformance\"))] mod i;
        ";
        let kept: Vec<String> = without_tests(&tokens(text))
            .iter()
            .filter_map(|token| token.word().map(str::to_owned))
            .collect();
        assert_eq!(
            kept.join(" "),
            "fn a cfg not test fn f cfg any test feature mod i"
        );
    }
}
