"""What gunicorn serves: AUTH_ISSUER=http://localhost:8003 gunicorn drf_resource_server.wsgi --threads 8"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drf_resource_server.settings")

application = get_wsgi_application()
