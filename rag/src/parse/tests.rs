//! Small files made here, whole and hostile, and what is read of them.

use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;
use crate::document::{BlockKind, PageState};
use crate::{Block, Language};

fn read(bytes: &[u8], name: &str) -> Result<Document, Refusal> {
    parse(bytes, name, &Limits::default())
}

fn told(document: &Document) -> Vec<(BlockKind, &str)> {
    document.blocks.iter().map(|block| (block.kind, block.text.as_str())).collect()
}

fn heading(level: u8, text: &str) -> (BlockKind, &str) {
    (BlockKind::Heading { level }, text)
}

fn paragraph(text: &str) -> (BlockKind, &str) {
    (BlockKind::Paragraph, text)
}

fn zipped(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(body: &str) -> Vec<u8> {
    let document = format!(r#"<?xml version="1.0"?><w:document xmlns:w="w"><w:body>{body}</w:body></w:document>"#);
    let styles = r#"<w:styles xmlns:w="w">
        <w:style w:styleId="Titre1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Maison"><w:name w:val="Titre maison"/><w:basedOn w:val="Titre1"/></w:style>
        <w:style w:styleId="Boucle"><w:name w:val="Boucle"/><w:basedOn w:val="Boucle"/></w:style></w:styles>"#;
    zipped(&[("[Content_Types].xml", "<Types/>"), ("word/document.xml", &document), ("word/styles.xml", styles)])
}

fn odt(body: &str) -> Vec<u8> {
    let content = format!(
        r#"<office:document-content xmlns:office="o" xmlns:text="t" xmlns:table="b"><office:body><office:text>{body}</office:text></office:body></office:document-content>"#
    );
    let meta = r#"<office:document-meta xmlns:office="o" xmlns:dc="d"><dc:title>Guide du télétravail</dc:title></office:document-meta>"#;
    zipped(&[("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", &content), ("meta.xml", meta)])
}

/// A PDF of these pages' content streams, with Helvetica as `F1` and a grey pixel as the image `Im`.
fn pdf(pages: &[&str], trailer: &str) -> Vec<u8> {
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
    let kids: Vec<String> = (0..pages.len()).map(|nth| format!("{} 0 R", 5 + 2 * nth)).collect();
    objects.push(format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()));
    objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned());
    objects.push(
        "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\nstream\n\u{7f}\nendstream"
            .to_owned(),
    );
    for (nth, content) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R /Resources << /Font << /F1 3 0 R >> /XObject << /Im 4 0 R >> >> >>",
            6 + 2 * nth
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        places.push(out.len());
        // The streams are written in the font's encoding.
        let (object, _, _) = encoding_rs::WINDOWS_1252.encode(object);
        out.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        out.extend_from_slice(&object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let start = out.len();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        table.push_str(&format!("{place:010} 00000 n \n"));
    }
    table.push_str(&format!(
        "trailer\n<< /Size {} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    ));
    out.extend_from_slice(table.as_bytes());
    out
}

const SCAN: &str = "q 595 0 0 842 0 0 cm /Im Do Q";

fn page(lines: &[(u32, u32, &str)]) -> String {
    lines.iter().map(|(size, y, text)| format!("BT /F1 {size} Tf 60 {y} Td ({text}) Tj ET\n")).collect()
}

#[test]
fn pdf_text_layers_are_read_with_their_pages() {
    let one = page(&[
        (18, 780, "Arrêté du 15 mai 2025"),
        (11, 740, "Le préfet de la région est chargé de l’exécution du présent arrêté, qui"),
        (11, 727, "sera publié au recueil des actes de la préfecture."),
        (11, 690, "Article 1er"),
        (11, 670, "Les modalités sont les suivantes."),
    ]);
    let two = page(&[(11, 780, "Fait à Lille, le 15 mai 2025")]);
    let document = read(&pdf(&[&one, &two], ""), "a.pdf").unwrap();
    assert_eq!(
        told(&document),
        [
            heading(1, "Arrêté du 15 mai 2025"),
            paragraph(
                "Le préfet de la région est chargé de l’exécution du présent arrêté, qui sera publié au recueil des actes de la préfecture."
            ),
            heading(5, "Article 1er"),
            paragraph("Les modalités sont les suivantes."),
            paragraph("Fait à Lille, le 15 mai 2025"),
        ]
    );
    assert_eq!(document.title.as_deref(), Some("Arrêté du 15 mai 2025"));
    assert_eq!(document.language, Some(Language::French));
    assert_eq!(document.pages, [PageState::Text, PageState::Text]);
    assert_eq!(document.blocks.iter().map(|block| block.page).collect::<Vec<_>>(), [1, 1, 1, 1, 2].map(Some));
}

#[test]
fn a_scan_is_said_to_be_one() {
    let stamped = format!("{SCAN}\n{}", page(&[(8, 20, "Recueil R93-2025-04-23-00009 page 11")]));
    assert_eq!(read(&pdf(&[SCAN, &stamped], ""), "s.pdf"), Err(Refusal::NeedsOcr { pages: vec![1, 2] }));
    let text = page(&[(11, 780, "Une page avec du texte et une autre sans.")]);
    let mixed = read(&pdf(&[&text, SCAN, ""], ""), "m.pdf").unwrap();
    assert_eq!(mixed.pages, [PageState::Text, PageState::Scan, PageState::Empty]);
    assert_eq!(mixed.pages_in(PageState::Scan), [2]);
    // What OCR wrote under the image is a text layer.
    let layer = format!("{SCAN}\n{}", page(&[(11, 700, "Texte reconnu")]).replace("Tf", "Tf 3 Tr"));
    assert_eq!(read(&pdf(&[&layer], ""), "o.pdf").unwrap().pages, [PageState::Text]);
}

#[test]
fn words_drawn_as_outlines_are_a_scan_and_a_logo_is_not() {
    let outlines = |from: u32, to: u32| -> String {
        let word = |y: u32| format!("60 {y} m {} f\n", format!("70 {} l 80 {y} l ", y + 5).repeat(40));
        (from..to).step_by(10).map(word).collect()
    };
    let stamp = page(&[(8, 20, "Recueil R93-2025-04-23-00009 page 11")]);
    let drawn = format!("{}{stamp}", outlines(100, 700));
    assert_eq!(read(&pdf(&[&drawn], ""), "v.pdf"), Err(Refusal::NeedsOcr { pages: vec![1] }));
    let logo = format!("{}{stamp}", outlines(750, 800));
    assert_eq!(read(&pdf(&[&logo], ""), "l.pdf").map(|document| document.pages), Ok(vec![PageState::Text]));
}

#[test]
fn a_pdf_of_blank_pages_holds_nothing() {
    assert_eq!(read(&pdf(&["", "0 0 m 10 10 l S"], ""), "b.pdf"), Err(Refusal::Empty));
}

#[test]
fn an_encrypted_pdf_is_told_apart_from_a_broken_one() {
    let encrypt = "/ID [(0123456789abcdef)(0123456789abcdef)] /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 \
                   /O (01234567890123456789012345678901) /U (01234567890123456789012345678901) >>";
    let text = page(&[(11, 780, "Secret")]);
    assert_eq!(read(&pdf(&[&text], encrypt), "e.pdf"), Err(Refusal::encrypted("PDF")));
    assert_eq!(read(b"%PDF-1.7\nrien", "r.pdf"), Err(Refusal::broken("PDF")));
}

#[test]
fn pages_are_bounded() {
    let pages = vec![""; 1000];
    let limits = Limits { pages: 999, ..Limits::default() };
    assert_eq!(parse(&pdf(&pages, ""), "m.pdf", &limits), Err(Refusal::TooManyPages { pages: 1000, limit: 999 }));
}

#[test]
fn docx_structure_is_read() {
    let document = read(
        &docx(concat!(
            r#"<w:p><w:pPr><w:pStyle w:val="Maison"/></w:pPr><w:r><w:t>Les </w:t></w:r><w:r><w:t>congés</w:t></w:r></w:p>"#,
            r#"<w:p><w:pPr><w:pStyle w:val="Boucle"/></w:pPr><w:r><w:t>R&amp;D à l&#x2019;étude</w:t><w:br/><w:t>ligne 2</w:t></w:r>"#,
            r#"<w:del><w:r><w:delText>supprimé</w:delText></w:r></w:del></w:p>"#,
            r#"<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>un</w:t></w:r></w:p>"#,
            r#"<w:p><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>un bis</w:t></w:r></w:p>"#,
            r#"<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>deux</w:t></w:r></w:p>"#,
            r#"<w:p><w:r><w:t>après</w:t></w:r></w:p>"#,
            r#"<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Nom</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Jours</w:t></w:r></w:p></w:tc></w:tr>"#,
            r#"<w:tr><w:tc><w:p><w:r><w:t>CP</w:t></w:r></w:p><w:p><w:r><w:t>RTT</w:t></w:r></w:p></w:tc><w:tc><w:p/></w:tc></w:tr></w:tbl>"#,
            r#"<mc:AlternateContent xmlns:mc="m"><mc:Choice><w:p><w:r><w:t>cadre</w:t></w:r></w:p></mc:Choice>"#,
            r#"<mc:Fallback><w:p><w:r><w:t>cadre</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>"#,
        )),
        "sans extension",
    )
    .unwrap();
    assert_eq!(
        told(&document),
        [
            heading(1, "Les congés"),
            paragraph("R&D à l’étude\nligne 2"),
            (BlockKind::List, "- un\n  - un bis\n- deux"),
            paragraph("après"),
            (BlockKind::Table, "| Nom | Jours |\n| --- | --- |\n| CP RTT |  |"),
            paragraph("cadre"),
        ]
    );
    assert_eq!(document.title.as_deref(), Some("Les congés"));
}

#[test]
fn odt_structure_is_read() {
    let document = read(
        &odt(concat!(
            r#"<text:tracked-changes><text:p>supprimé</text:p></text:tracked-changes>"#,
            r#"<text:h text:outline-level="2">Horaires</text:h><text:p>Neuf<text:s text:c="3"/>heures<text:note>"#,
            r#"<text:note-citation>1</text:note-citation><text:note-body><text:p>au plus tard</text:p></text:note-body></text:note>.</text:p>"#,
            r#"<text:list><text:list-item><text:p>un</text:p><text:list><text:list-item><text:p>bis</text:p></text:list-item></text:list>"#,
            r#"</text:list-item><text:list-item><text:p>deux</text:p></text:list-item></text:list>"#,
            r#"<table:table><table:table-row><table:table-cell><text:p>seule colonne</text:p></table:table-cell></table:table-row></table:table>"#,
        )),
        "a.odt",
    )
    .unwrap();
    assert_eq!(
        told(&document),
        [
            heading(2, "Horaires"),
            paragraph("Neuf heures (au plus tard)."),
            (BlockKind::List, "- un\n  - bis\n- deux"),
            paragraph("seule colonne"),
        ]
    );
    assert_eq!(document.title.as_deref(), Some("Guide du télétravail"));
}

#[test]
fn office_files_that_are_protected_are_said_so() {
    let manifest = r#"<manifest:manifest xmlns:manifest="m"><manifest:encryption-data/></manifest:manifest>"#;
    let odt = zipped(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("content.xml", "brouillé"),
        ("META-INF/manifest.xml", manifest),
    ]);
    assert_eq!(read(&odt, "a.odt"), Err(Refusal::encrypted("ODT")));
    let mut ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    ole.resize(600, 0);
    assert_eq!(read(&ole, "vieux.doc"), Err(Refusal::not_read("Office 97-2003")));
    ole.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(read(&ole, "a.docx"), Err(Refusal::encrypted("Office")));
}

#[test]
fn zip_bombs_are_stopped() {
    let bomb = docx(&format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", " ".repeat(8 << 20)));
    assert!(bomb.len() < 64 << 10, "{}", bomb.len());
    let limits = Limits { expanded: 4 << 20, ..Limits::default() };
    assert_eq!(parse(&bomb, "b.docx", &limits), Err(Refusal::TooMuchExpanded { limit: 4 << 20 }));
    let limits = Limits { text: 1 << 20, ..Limits::default() };
    assert_eq!(parse(&bomb, "b.docx", &limits), Err(Refusal::TooMuchText { limit: 1 << 20 }));
}

#[test]
fn nesting_is_bounded_and_never_overflows() {
    let deep = |open: &str, close: &str| format!("{}x{}", open.repeat(100_000), close.repeat(100_000));
    assert_eq!(read(&docx(&deep("<w:p>", "</w:p>")), "d.docx"), Err(Refusal::TooDeep { limit: 200 }));
    assert_eq!(read(&odt(&deep("<text:list>", "</text:list>")), "d.odt"), Err(Refusal::TooDeep { limit: 200 }));
    assert_eq!(read(deep("[", "]").replace('x', "1").as_bytes(), "d.json"), Err(Refusal::TooDeep { limit: 128 }));
    assert_eq!(read(format!("<html>{}", deep("<ul>", "</ul>")).as_bytes(), "d"), Err(Refusal::TooDeep { limit: 200 }));
    let divs = read(format!("<!doctype html>{}", deep("<div>", "</div>")).as_bytes(), "d").unwrap();
    assert_eq!(told(&divs), [paragraph("x")]);
    let quotes = read(format!("# t\n\n{} x", ">".repeat(50_000)).as_bytes(), "d.md");
    assert!(quotes.is_ok() || quotes == Err(Refusal::TooDeep { limit: 200 }), "{quotes:?}");
}

#[test]
fn html_is_read_without_its_furniture() {
    let page = "<!DOCTYPE html><html><head><title>Congés &mdash; service-public.fr</title><style>p{}</style></head><body>\
        <nav><ul><li><a>Accueil</a></li></ul></nav><main><h1>Congés payés</h1><p>Deux jours\n et <b>demi</b>.<br>Par mois.</p>\
        <script>if (a<b) alert('</p>')</script><ol start=3><li>trois<li>quatre<ul><li>bis</ul></ol>\
        <table><tr><th>A<th>B<tr><td>1<td>2</table><pre>a\n  b</pre></main><footer>Mentions</footer></body></html>";
    let document = read(page.as_bytes(), "page").unwrap();
    assert_eq!(
        told(&document),
        [
            heading(1, "Congés payés"),
            paragraph("Deux jours et demi.\nPar mois."),
            (BlockKind::List, "3. trois\n4. quatre\n  - bis"),
            (BlockKind::Table, "| A | B |\n| --- | --- |\n| 1 | 2 |"),
            (BlockKind::Code, "a\n  b"),
        ]
    );
    assert_eq!(document.title.as_deref(), Some("Congés payés"));
    // A navigation that never ends is no reason to lose the page.
    let broken = read(b"<html><nav><p>menu</p><h1>Titre</h1><p>texte</p>", "x.html").unwrap();
    assert!(told(&broken).contains(&paragraph("texte")));
}

#[test]
fn old_pages_are_read_in_their_encoding() {
    let (page, _, _) =
        encoding_rs::ISO_8859_15.encode("<html><meta charset=\"iso-8859-15\"><p>Prix en € à Nîmes</p></html>");
    assert_eq!(told(&read(&page, "x.htm").unwrap()), [paragraph("Prix en € à Nîmes")]);
}

#[test]
fn markdown_is_read() {
    let text = "---\ntitle: \"Guide\"\n---\n# Un\n\nTexte *en*\n**deux** lignes, [lien](http://x).\n\n- a\n- b\n  1. c\n\n\
        | A | B |\n|---|---|\n| 1 | 2 |\n\n```\ncode <p>\n```\n<p>html</p>\n";
    let document = read(text.as_bytes(), "x.md").unwrap();
    assert_eq!(
        told(&document),
        [
            heading(1, "Un"),
            paragraph("Texte en deux lignes, lien."),
            (BlockKind::List, "- a\n- b\n  1. c"),
            (BlockKind::Table, "| A | B |\n| --- | --- |\n| 1 | 2 |"),
            (BlockKind::Code, "code <p>"),
            paragraph("html"),
        ]
    );
    assert_eq!(document.title.as_deref(), Some("Guide"));
}

#[test]
fn rows_and_records_say_what_their_values_are() {
    let rows = read("nom;âge\nÉlodie;30\n\"a;b\";\n".as_bytes(), "x.csv").unwrap();
    assert_eq!(told(&rows), [paragraph("nom : Élodie\nâge : 30"), paragraph("nom : a;b")]);
    let records = read(
        r#"[{"question": "Q ?", "reponse": "<p>R1</p><p>R2</p>", "meta": {"n": 1, "tags": ["a", "b"]}}, {"x": null}]"#
            .as_bytes(),
        "x",
    )
    .unwrap();
    assert_eq!(
        told(&records),
        [heading(2, "Q ?"), paragraph("R1"), paragraph("R2"), paragraph("meta.n : 1\nmeta.tags : a, b")]
    );
    let lines = read(b"{\"text\": \"un\"}\n{\"text\": \"deux\"}\n", "x.txt").unwrap();
    assert_eq!(told(&lines), [paragraph("un"), paragraph("deux")]);
    assert_eq!(read(b"{\"text\": \"un\"}\n{\"text\": ", "x.jsonl"), Err(Refusal::broken("JSONL")));
    assert_eq!(read(b"{\"text\": ", "x.json"), Err(Refusal::broken("JSON")));
}

#[test]
fn text_is_paragraphs() {
    let (text, _, _) = encoding_rs::WINDOWS_1252.encode("L’été\r\nà l’œuvre\r\n\r\n\r\nfin…");
    assert_eq!(told(&read(&text, "x").unwrap()), [paragraph("L’été\nà l’œuvre"), paragraph("fin…")]);
}

#[test]
fn content_decides_not_the_name() {
    let pdf = pdf(&[&page(&[(11, 700, "Un texte assez long pour une page")])], "");
    assert_eq!(read(&pdf, "notes.txt").unwrap().pages, [PageState::Text]);
    assert_eq!(told(&read(&docx("<w:p><w:r><w:t>mot</w:t></w:r></w:p>"), "x.pdf").unwrap()), [paragraph("mot")]);
    assert_eq!(read(b"\x89PNG\r\n\x1a\n0000", "x.pdf"), Err(Refusal::not_read("image PNG")));
    assert_eq!(read(&zipped(&[("xl/workbook.xml", "")]), "x.docx"), Err(Refusal::not_read("XLSX")));
    assert_eq!(read(b"BM est un sigle.", "x").map(|document| document.blocks.len()), Ok(1));
    assert_eq!(read(&[0, 1, 2, 3, 255, 254, 7, 7], "x.txt"), Err(Refusal::UnknownKind));
    assert_eq!(read(b" \n\t", "x.txt"), Err(Refusal::Empty));
    assert_eq!(read(b"", "x.pdf"), Err(Refusal::Empty));
    assert_eq!(read(b"<html><script>x</script></html>", "x"), Err(Refusal::Empty));
}

#[test]
fn truncated_files_are_broken() {
    let docx = docx("<w:p><w:r><w:t>mot</w:t></w:r></w:p>");
    assert_eq!(read(&docx[..docx.len() / 2], "x.docx"), Err(Refusal::broken("ZIP")));
    let cut = zipped(&[("word/document.xml", "<w:document><w:p>")]);
    assert_eq!(read(&cut, "x.docx"), Err(Refusal::broken("DOCX")));
}

#[test]
fn size_and_time_are_bounded() {
    let limits = Limits { input: 3, ..Limits::default() };
    assert_eq!(parse(b"abcd", "x", &limits), Err(Refusal::TooLarge { limit: 3 }));
    let limits = Limits { time: Duration::ZERO, ..Limits::default() };
    assert_eq!(parse(b"abcd", "x", &limits), Err(Refusal::TooSlow { seconds: 0 }));
}

#[test]
fn a_document_crosses_as_json() {
    let mut block = Block::heading(2, "Titre");
    block.page = Some(1);
    let document = Document { blocks: vec![block], pages: vec![PageState::Text], ..Document::default() };
    let json = serde_json::to_string(&document).unwrap();
    assert!(json.contains(r#"{"kind":"heading","level":2,"text":"Titre","page":1}"#), "{json}");
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
}

/// Bytes that begin as something we read.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just(&b""[..]),
        Just(&b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 1 0 R >>\nendobj\ntrailer << /Root 1 0 R >>\n"[..]),
        Just(&b"PK\x03\x04"[..]),
        Just(&b"<html><table><ul><li>"[..]),
        Just(&b"# titre\n\n- "[..]),
        Just(&b"{\"a\": ["[..]),
        Just(&b"a;b\n"[..]),
    ];
    (start, proptest::collection::vec(any::<u8>(), 0..400)).prop_map(|(start, rest)| [start, &rest].concat())
}

/// A whole file with bytes of it changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(pdf(&[&page(&[(11, 700, "mot")]), SCAN], "")),
        Just(docx("<w:p><w:r><w:t>mot</w:t></w:r></w:p>")),
        Just(odt("<text:p>mot</text:p>")),
    ];
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20);
    (whole, changes).prop_map(|(mut bytes, changes)| {
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![hostile(), damaged()], name in "[a-z]{0,3}\\.(md|html|csv|json|txt|pdf)") {
        let limits = Limits { text: 1 << 20, time: Duration::from_secs(10), ..Limits::default() };
        if let Ok(document) = parse(&bytes, &name, &limits) {
            prop_assert!(!document.blocks.is_empty());
            prop_assert!(document.blocks.iter().all(|block| !block.text.trim().is_empty()));
        }
    }
}
