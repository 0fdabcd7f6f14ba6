// A PDF around pictures of pages (PDF 1.7, ISO 32000-1): JPEGs in, the bytes of the file out.
//
// Under each picture lie its words, invisible: they can be found, copied and read aloud.

const A4 = [595.28, 841.89];
// Words of Latin-1 stand in Courier, whose letters are all 0.6 em wide, all others in a font of full
// width that every reader knows by name. Neither is ever seen, so neither need be in the file.
const LATIN = /^[\x20-\x7e\xa0-\xff]*$/;
const NO_CHARACTER = "\ufffd";
const FIRST_PAGE = 7;
const A_PAGE = 3;

// `pages`: [{ jpeg: Uint8Array, width, height (pixels), words: [{ text, x, y, size, width }] }], where
// x and y are points from the top left of the page, y of the base line.
export function pdf(pages, { title, language, date }) {
  const numbers = pages.map((_, at) => FIRST_PAGE + A_PAGE * at);
  const kids = numbers.map((number) => `${number} 0 R`).join(" ");
  const fixed = [
    `<< /Type /Catalog /Pages 2 0 R /Lang (${language}) /ViewerPreferences << /DisplayDocTitle true >> >>`,
    `<< /Type /Pages /Count ${pages.length} /Kids [${kids}] /MediaBox [0 0 ${A4.join(" ")}] >>`,
    `<< /Title <feff${hex(title)}> /Producer (overread) /CreationDate (${stamp(date)}) >>`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-H /ToUnicode 6 0 R " +
      "/DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 " +
      "/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> " +
      "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 4 /ItalicAngle 0 " +
      "/Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 /FontBBox [0 -120 1000 880] >> >>] >>",
  ].map(whole);
  fixed.push(stream("", bytes(TO_UNICODE)));
  return assemble([...fixed, ...pages.flatMap((page, at) => objects(page, numbers[at]))]);
}

// The page, its content, its picture.
function objects({ jpeg, width, height, words }, number) {
  const content = `q ${A4[0]} 0 0 ${A4[1]} 0 0 cm /Page Do Q\n` + words.map(hidden).join("");
  // Named only where it is used: some readers offer to fetch what they lack of it.
  const wide = content.includes("/Wide ") ? " /Wide 5 0 R" : "";
  const image =
    `/Type /XObject /Subtype /Image /Width ${width} /Height ${height} ` +
    "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode";
  return [
    whole(
      `<< /Type /Page /Parent 2 0 R /Contents ${number + 1} 0 R /Resources << ` +
        `/XObject << /Page ${number + 2} 0 R >> /Font << /Latin 4 0 R${wide} >> >> >>`,
    ),
    stream("", bytes(content)),
    stream(image, jpeg),
  ];
}

// A line of words, stretched to the width it has in the picture.
function hidden({ text, x, y, size, width }) {
  const plain = text.replace(/[\u2000-\u200a\u202f\t]/g, " ").replace(/[\ud800-\udfff]{2}/g, NO_CHARACTER);
  const latin = LATIN.test(plain);
  const natural = plain.length * size * (latin ? 0.6 : 1);
  const codes = latin ? hex(plain, 2) : hex(plain);
  const place = `${x.toFixed(2)} ${(A4[1] - y).toFixed(2)}`;
  const stretch = ((100 * width) / natural).toFixed(2);
  return `BT 3 Tr /${latin ? "Latin" : "Wide"} ${size} Tf ${stretch} Tz ${place} Td <${codes}> Tj ET\n`;
}

const TO_UNICODE = `/CIDInit /ProcSet findresource begin 12 dict begin begincmap
/CMapName /Unicode def /CMapType 2 def
1 begincodespacerange <0000> <ffff> endcodespacerange
1 beginbfrange <0000> <ffff> <0000> endbfrange
endcmap CMapName currentdict /CMap defineresource pop end end`;

const bytes = (text) => new TextEncoder().encode(text);
const whole = (text) => [bytes(text)];
const stream = (entries, data) => [
  bytes(`<< ${entries} /Length ${data.length} >>\nstream\n`),
  data,
  bytes("\nendstream"),
];

// UTF-16 as PDF writes it; `digits` 2 for Latin-1.
function hex(text, digits = 4) {
  return Array.from({ length: text.length }, (_, at) =>
    text.charCodeAt(at).toString(16).padStart(digits, "0"),
  ).join("");
}

const stamp = (date) => `D:${date.toISOString().replace(/\D/g, "").slice(0, 14)}Z`;

// Objects numbered from 1 in their order, then the table of where each begins.
function assemble(objects) {
  const parts = [bytes("%PDF-1.7\n%\u00e9\u00e9\n")];
  const starts = [];
  let at = parts[0].length;
  const add = (part) => {
    parts.push(part);
    at += part.length;
  };
  for (const [index, object] of objects.entries()) {
    starts.push(at);
    add(bytes(`${index + 1} 0 obj\n`));
    object.forEach(add);
    add(bytes("\nendobj\n"));
  }
  const rows = starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`);
  const size = objects.length + 1;
  add(
    bytes(
      `xref\n0 ${size}\n0000000000 65535 f \n${rows.join("")}` +
        `trailer\n<< /Size ${size} /Root 1 0 R /Info 3 0 R >>\nstartxref\n${at}\n%%EOF\n`,
    ),
  );
  const file = new Uint8Array(at);
  let to = 0;
  for (const part of parts) {
    file.set(part, to);
    to += part.length;
  }
  return file;
}
