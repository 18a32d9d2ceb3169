import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    from nupic_client import StreamingClient, user
    from nupic_client.display import safe_markdown
    from nupic_client.integrations.marimo import chat_model

    client = StreamingClient("smollm2")
    return chat_model, client, mo, safe_markdown, user


@app.cell
def _(client, mo, safe_markdown, user):
    with client.stream([user("What is the capital of France?")], max_tokens=60) as stream:
        for _text in stream:
            mo.output.replace(mo.md(safe_markdown(stream.text)))


@app.cell
def _(chat_model, client, mo):
    chat = mo.ui.chat(chat_model(client, instructions="You answer in one sentence.", max_tokens=100))
    chat


if __name__ == "__main__":
    app.run()
