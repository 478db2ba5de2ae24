//! XML parts of office files, event by event: depth counted, entities of XML only, no DTD.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::Refusal;
use super::budget::Budget;

/// What a part says. Names are local names: `p` for `w:p` and `text:p` alike.
pub(crate) enum Node<'a> {
    Open(&'a str, Attributes<'a>),
    /// Also follows the `Open` of an empty element.
    Close(&'a str),
    Text(&'a str),
}

pub(crate) struct Attributes<'a>(&'a BytesStart<'a>);

impl Attributes<'_> {
    /// By its local name.
    pub fn get(&self, name: &str) -> Option<String> {
        let found = self.0.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
        Some(found.normalized_value(XmlVersion::Explicit1_0).ok()?.into_owned())
    }
}

/// Gives each node of `text` to `visit`.
pub(crate) fn walk(
    text: &str,
    kind: &'static str,
    budget: &Budget,
    mut visit: impl FnMut(Node<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0_usize;
    for nth in 0_u64.. {
        if nth % 4096 == 0 {
            budget.time()?;
        }
        match reader.read_event().map_err(|_| Refusal::broken(kind))? {
            Event::Start(start) => {
                depth += 1;
                budget.depth(depth)?;
                visit(Node::Open(start.local_name().as_ref(), Attributes(&start)))?;
            }
            Event::Empty(start) => {
                visit(Node::Open(start.local_name().as_ref(), Attributes(&start)))?;
                visit(Node::Close(start.local_name().as_ref()))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit(Node::Close(end.local_name().as_ref()))?;
            }
            Event::Text(text) => visit(Node::Text(&text.xml10_content()))?,
            Event::CData(text) => visit(Node::Text(&text.xml10_content()))?,
            Event::GeneralRef(name) => {
                if let Ok(Some(c)) = name.resolve_char_ref() {
                    visit(Node::Text(c.encode_utf8(&mut [0; 4])))?;
                } else if let Some(text) = quick_xml::escape::resolve_xml_entity(&name.xml10_content()) {
                    visit(Node::Text(text))?;
                }
            }
            Event::Eof if depth > 0 => return Err(Refusal::broken(kind)),
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    Ok(())
}

/// The text of the first element of this name.
pub(crate) fn first_text(
    text: &str,
    name: &str,
    kind: &'static str,
    budget: &Budget,
) -> Result<Option<String>, Refusal> {
    let (mut found, mut inside) = (None::<String>, false);
    walk(text, kind, budget, |node| {
        match node {
            Node::Open(opened, _) if opened == name && found.is_none() => {
                inside = true;
                found = Some(String::new());
            }
            Node::Close(closed) if closed == name => inside = false,
            Node::Text(text) if inside => found.get_or_insert_default().push_str(text),
            _ => {}
        }
        Ok(())
    })?;
    Ok(found.filter(|text| !text.trim().is_empty()))
}
