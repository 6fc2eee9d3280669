//! As much of XML as a pom.xml is read with: the text of the first element of a name.

/// The text of a pom without comments.
pub(crate) fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// The text of the first element `name` that holds text alone.
pub(crate) fn text_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, after) = text.split_once(&open)?;
    let (inner, _) = after.split_once(&close)?;
    let inner = inner.trim();
    (!inner.is_empty() && !inner.contains('<')).then_some(inner)
}

/// The texts of all elements `name`.
pub(crate) fn texts_of<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).filter_map(|after| Some(after.split_once(&close)?.0.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_left_out() {
        let text = without_comments("<a>1</a><!-- <b>2</b> --><b>3</b><!-- open");
        assert_eq!(text_of(&text, "b"), Some("3"));
        assert_eq!(texts_of("<m>a</m> <m>b</m>", "m"), ["a", "b"]);
    }
}
