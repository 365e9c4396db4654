-- name: organisation
insert into grid.organisation as o (code, kind)
values (%(code)s, %(kind)s)
on conflict (code) do update set kind = excluded.kind where o.kind <> excluded.kind

-- name: organisation_id
select organisation_id from grid.organisation where code = %(code)s

-- name: person
insert into grid.person as p (code, role, display_name)
values (%(code)s, %(role)s, %(display_name)s)
on conflict (code) do update set role = excluded.role, display_name = excluded.display_name
where (p.role, p.display_name) is distinct from (excluded.role, excluded.display_name)

-- name: person_id
select person_id from grid.person where code = %(code)s

-- name: unit_id
select unit_id from grid.unit where code = %(code)s
