"""Use a running playground from a script: python examples/api_client.py [ADDRESS]

Start the page first (python app.py). It needs the package gradio_client, which comes with gradio.
"""

import base64
import sys
from pathlib import Path

import httpx
from gradio_client import Client

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def main(address="http://127.0.0.1:7860"):
    try:
        client = Client(address, verbose=False)
    except (httpx.HTTPError, ValueError) as error:
        sys.exit(f"No playground answers at {address} ({error}): start one, and give the address that it prints.")
    history = (TRANSCRIPTS / "boat.json").read_text(encoding="utf-8")
    probes = (TRANSCRIPTS / "boat.probes.csv").read_text(encoding="utf-8")

    for found in client.predict(history, "What is my boat called?", "base, memory", 24, 0.0, 0, api_name="/answer"):
        print(f"{found['title']}: {found['answer'].strip() or found['error']}")

    recalled = client.predict(history, probes, "base, memory", 24, 0, api_name="/recall")
    for row in recalled["summary"]:
        print(f"{row['arm']}: {row['contains']:.0%} of {row['n']} probes")

    picture = client.predict(history, "", api_name="/state_figure")
    Path("states.png").write_bytes(base64.b64decode(picture["png"]))
    print(f"states.png: {picture['title']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
