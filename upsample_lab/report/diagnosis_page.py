"""The diagnosis as one self-contained HTML page."""

from __future__ import annotations

from html import escape

from upsample_lab.doctor.diagnosis import Diagnosis
from upsample_lab.doctor.prescriptions import prescribe
from upsample_lab.doctor.table import HEADS, LEGEND, cells
from upsample_lab.drawing.style import png
from upsample_lab.report.passport_page import document, embedded, finding_list


def page(diagnosis: Diagnosis, command: str = "") -> str:
    """The sentence, the figure, the ranked sites, and what mends them."""
    heads = "".join(f"<th>{escape(head)}</th>" for head in HEADS)
    rows = []
    for ranked in diagnosis.ranking:
        words = cells(ranked, diagnosis.units, whole=True)
        figures = "".join(f'<td class="number">{escape(word)}</td>' for word in words[2:])
        rows.append(f"<tr><td><code>{escape(words[0])}</code></td><td>{escape(words[1])}</td>{figures}</tr>")
    output = f"output{diagnosis.output} {list(diagnosis.output_shape)}, {diagnosis.units}"
    body = [
        f"<h1>Diagnosis of {escape(diagnosis.name)}</h1>",
        f'<p class="how">{escape(output)}</p>',
        f"<p><b>{escape(diagnosis.sentence())}</b> {escape(diagnosis.outlook())}</p>",
        f'<figure class="wide" tabindex="0">{embedded(png(diagnosis.figure()), "patterns along the sites")}</figure>',
        f'<h2>Sites, ranked</h2><div class="wide" tabindex="0"><table><tr>{heads}</tr>{"".join(rows)}</table></div>',
        f'<p class="how">{"<br>".join(escape(f"{word}: {meaning}") for word, meaning in LEGEND)}</p>',
        "<h2>Findings</h2>",
        finding_list(diagnosis.findings),
        *(
            f"<h2>To paste, for <code>{escape(site.place)}</code></h2><pre>{escape(str(way))}</pre>"
            for site in diagnosis.to_cure()
            for way in prescribe(site)[:1]
        ),
    ]
    return document(f"Diagnosis of {diagnosis.name}", body, command)
