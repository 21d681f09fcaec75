from camiohookd.system import service


def test_copies_only_the_service_sections_of_unit_and_drop_ins() -> None:
    unit = "# /lib/a.service\n[Unit]\nWants=network.target\n[Service]\nUser=a\n\n[Install]\nWantedBy=b\n"
    drop_in = "# /etc/a.service.d/b.conf\n[Service]\nNice=5\n"
    assert service._service_section(unit + drop_in).split() == ["[Service]", "User=a", "Nice=5"]
