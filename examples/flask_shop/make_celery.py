"""What workers import: ``celery -A examples.flask_shop.make_celery worker``."""

from celery import Celery

from examples.flask_shop import create_app

flask_app = create_app()
celery_app: Celery = flask_app.extensions["celery"]
