"""What a WSGI server imports: `app`, also by the name of `application`. No scheduler and no database work here."""

from pathlib import Path

from dotenv import load_dotenv

from cerber.app import create_app

load_dotenv(Path(__file__).parent / ".env")

app = create_app()
application = app
