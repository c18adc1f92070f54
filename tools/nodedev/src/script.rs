// SPDX-License-Identifier: LGPL-2.1-or-later
//! Splits text into commands and words, by the rules of virsh.

/// Splits a text into commands, each a list of words. Commands end at `;` or at a newline. Single quotes keep everything
/// between them; double quotes keep everything except a backslash, which keeps the next character. A word that begins with `#`
/// begins a comment. Fails if a quote is not closed.
pub fn parse(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut command: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '\n' | ';' => {
                commands.push(std::mem::take(&mut command));
                rest = &rest[1..];
            }
            ' ' | '\t' | '\r' => rest = &rest[1..],
            '\\' if rest[1..].starts_with('\n') => rest = &rest[2..],
            '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            _ => {
                let (word, end) = word(rest)?;
                command.push(word);
                rest = &rest[end..];
            }
        }
    }
    commands.push(command);
    commands.retain(|command| !command.is_empty());
    Ok(commands)
}

/// Returns the first word of the text, and where it ends.
fn word(text: &str) -> Result<(String, usize), String> {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') if chars.peek().is_some() => {
                if let Some((_, next)) = chars.next().filter(|(_, next)| *next != '\n') {
                    word.push(next);
                }
            }
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ' | '\t' | '\r' | '\n' | ';') => return Ok((word, at)),
            (_, c) => word.push(c),
        }
    }
    match quote {
        Some(open) => Err(format!("missing {open}: a quote is open at the end of the command")),
        None => Ok((word, text.len())),
    }
}

/// Splits the words of the command line into commands, at each word `;` before a word `--`. A single word is the text of a script.
pub fn from_words(words: &[String]) -> Result<Vec<Vec<String>>, String> {
    match words {
        [text] => parse(text),
        words => {
            let mut is_literal = false;
            let commands = words.split(|word| {
                is_literal |= word == "--";
                word == ";" && !is_literal
            });
            let commands = commands.map(<[String]>::to_vec);
            Ok(commands.filter(|command| !command.is_empty()).collect())
        }
    }
}

/// True if the text ends with an odd number of backslashes, so that the next line belongs to it.
pub fn continues(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_keep_characters() {
        let words = |text: &str| parse(text).unwrap().concat();
        assert_eq!(words(r#"info 'a;b#c d\e'"#), ["info", r"a;b#c d\e"]);
        assert_eq!(words(r#"info "a;b#c d\"\e""#), ["info", r#"a;b#c d"e"#]);
        assert_eq!(words("info a#b # comment; destroy x"), ["info", "a#b"]);
        assert_eq!(words("list \\\n--names"), ["list", "--names"]);
        assert_eq!(words("info ''"), ["info", ""]);
        assert_eq!(words("info é\u{20ac}"), ["info", "é\u{20ac}"]);
        assert!(parse("info 'a").unwrap_err().starts_with("missing '"));
    }

    #[test]
    fn commands_end_at_semicolons_and_newlines() {
        assert_eq!(parse(";; list ; types\n\ninfo x;").unwrap(), [vec!["list"], vec!["types"], vec!["info", "x"]]);
        let words: Vec<String> = ["list", ";", "info", "a;b"].map(str::to_owned).to_vec();
        assert_eq!(from_words(&words).unwrap(), [vec!["list"], vec!["info", "a;b"]]);
        assert!(parse(" # nothing").unwrap().is_empty());
    }
}
